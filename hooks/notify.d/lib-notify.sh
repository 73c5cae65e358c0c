# shellcheck shell=sh
# Shared by the notifications that come with hastate; sourced, never run.

LC_ALL=C
export LC_ALL

say() { printf '%s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

# settings_file NAME: where it is, nothing when nowhere.
settings_file() {
    for place in "${HASTATE_STATE_DIR:-/nonexistent}" /etc/hastate /usr/local/etc/hastate; do
        if [ -f "$place/$1" ]; then
            printf '%s' "$place/$1"
            return
        fi
    done
}

# read_settings NAME WORD...: sets a variable for each word; others are an error. The file is read, never run.
read_settings() {
    name=$1
    shift
    for word in "$@"; do eval "$word="; done
    file=$(settings_file "$name")
    if [ -z "$file" ]; then
        say "there is no $name: nobody is told"
        exit 0
    fi
    wrong=$(find -L "$file" -prune \( -perm -0020 -o -perm -0002 -o ! -user 0 ! -user "$(id -u)" \)) ||
        fail "$file cannot be examined"
    [ -z "$wrong" ] || fail "$file can be changed by others; run: chown root '$file' && chmod go-w '$file'"
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in '' | '#'*) continue ;; esac
        known=no
        for word in "$@"; do [ "${line%%=*}" != "$word" ] || known=yes; done
        [ "$known" = yes ] || fail "$file says '$line': the words are $*"
        value=${line#*=}
        eval "${line%%=*}=\$value"
    done <"$file"
}

# wanted EVENT LIST: an empty list wants all.
wanted() {
    [ -n "$2" ] || return 0
    case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# one_line: of what comes in, printable and at most 400 bytes.
one_line() { tr '\r\n\t' '   ' | tr -d '\000-\037\177' | cut -c 1-400; }

# json_text WORD: as a string of JSON.
json_text() { printf '"%s"' "$(printf '%s' "$1" | one_line | sed 's/[\\"]/\\&/g')"; }
