# shellcheck shell=sh
# Shared by the hooks that come with hastate; sourced, never run.

LC_ALL=C
export LC_ALL

SYSTEM=$(uname -s)

# How often a busy thing is tried again, and how long between two tries.
TRY_SECONDS=0.2
TRIES_PER_SECOND=5

say() { printf '%s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

# env_word WORD: makes $word of it: `kill-holders` -> `KILL_HOLDERS`, as the daemon names its variables. Without a
# process: it is asked for often, and clients wait meanwhile.
env_word() {
    word=
    rest=$1
    while [ -n "$rest" ]; do
        tail=${rest#?}
        letter=${rest%"$tail"}
        rest=$tail
        case $letter in
        a) letter=A ;; b) letter=B ;; c) letter=C ;; d) letter=D ;; e) letter=E ;; f) letter=F ;; g) letter=G ;;
        h) letter=H ;; i) letter=I ;; j) letter=J ;; k) letter=K ;; l) letter=L ;; m) letter=M ;; n) letter=N ;;
        o) letter=O ;; p) letter=P ;; q) letter=Q ;; r) letter=R ;; s) letter=S ;; t) letter=T ;; u) letter=U ;;
        v) letter=V ;; w) letter=W ;; x) letter=X ;; y) letter=Y ;; z) letter=Z ;;
        [ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_]) ;;
        *) letter=_ ;;
        esac
        word=$word$letter
    done
}

# param NAME [DEFAULT]: value of a parameter of hastate.yaml.
param() {
    env_word "$1"
    eval "printf '%s' \"\${HASTATE_PARAM_$word:-\${2:-}}\""
}

# yes_param NAME [DEFAULT]: whether a parameter says yes; anything but yes and no is an error, not a no.
yes_param() {
    case $(param "$1" "${2:-no}") in
    yes | true) return 0 ;;
    no | false) return 1 ;;
    *) fail "parameter $1 must be yes or no" ;;
    esac
}

needed_param() {
    [ -n "$(param "$1")" ] || fail "parameter $1 is missing: add it to this hook in hastate.yaml"
}

# the_device: the parameter `device`, the device of the parameter `resource`, or the group's only one.
the_device() {
    device=$(param device)
    resource=$(param resource)
    if [ -z "$device" ] && [ -n "$resource" ]; then
        env_word "$resource"
        eval "device=\${HASTATE_DEVICE_$word:-}"
    elif [ -z "$device" ]; then
        case ${HASTATE_DEVICES:-} in
        *' '*) fail "the group has several devices ($HASTATE_DEVICES): say which with parameter resource" ;;
        *) device=${HASTATE_DEVICES:-} ;;
        esac
    fi
    printf '%s' "$device"
}

# need_command NAME...: what a rehearsal looks for.
need_command() {
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || fail "$command is not installed, or not in $PATH"
    done
}

# pid_of FILE NAME: the pid that a file names, if it is a process of that name; pids are used again.
pid_of() {
    pid=$(head -n 1 "$1" 2>/dev/null) || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    alive "$pid" || return 1
    case $(ps -o comm= -p "$pid" 2>/dev/null) in *"$2"*) say "$pid" ;; *) return 1 ;; esac
}

# alive PID: a zombie is not; it waits for its parent and does nothing any more.
alive() {
    case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) return 1 ;; esac
}

ended() { ! alive "$1"; }

real_path() { readlink -f -- "$1" 2>/dev/null || printf '%s\n' "$1"; }

# mounts: one line per mount, oldest first: device, tab, mount point.
mounts() {
    if [ "$SYSTEM" = FreeBSD ]; then
        mount -p | awk '{ print $1 "\t" $2 }'
    else
        while read -r from to _; do
            # Blanks are written as octal there.
            case $from$to in
            *\\*) printf '%b\t%b\n' "$(octal "$from")" "$(octal "$to")" ;;
            *) printf '%s\t%s\n' "$from" "$to" ;;
            esac
        done </proc/self/mounts
    fi
}

# octal TEXT: `\040` -> `\0040`, which is how printf %b wants it.
octal() { printf '%s' "$1" | sed 's/\\\([0-7]\)/\\0\1/g'; }

# mounted_on DIR: the device that is mounted there, nothing if none is.
mounted_on() {
    TO=$(real_path "$1") awk -F '	' '$2 == ENVIRON["TO"] { from = $1 } END { print from }' <<EOM
$(mounts)
EOM
}

# mounts_of DEVICE: where it is mounted, newest first.
mounts_of() {
    wanted=$(real_path "$1")
    found=
    while IFS='	' read -r from to; do
        if [ "$from" != "$wanted" ]; then
            # Names that are no path, as those of tmpfs, lead nowhere.
            case $from in /*) [ -e "$from" ] || continue ;; *) continue ;; esac
            [ "$(real_path "$from")" = "$wanted" ] || continue
        fi
        found="$to
$found"
    done <<EOM
$(mounts)
EOM
    printf '%s' "$found"
}

# holders DIR: pids of the processes that have something open below it.
holders() {
    if [ "$SYSTEM" = FreeBSD ]; then
        fuser -c "$1" 2>/dev/null | tr -s ' ' '\n' | sed 's/[^0-9].*//' | grep . | sort -nu
    else
        {
            # shellcheck disable=SC2012 # find -lname would take the name for a pattern
            ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/exe 2>/dev/null |
                DIR=$1 awk '
                    function held(target) { return target == dir || index(target, dir "/") == 1 }
                    BEGIN { dir = ENVIRON["DIR"] }
                    /^\/proc\/[0-9]+\/fd:$/ { split($0, part, "/"); pid = part[3]; next }
                    (at = index($0, " -> ")) && held(substr($0, at + 4)) {
                        if (match($0, /\/proc\/[0-9]+\/(cwd|root|exe) -> /)) {
                            split(substr($0, RSTART), part, "/"); print part[3]
                        } else print pid
                    }'
            grep -lF " $1/" /proc/[0-9]*/maps 2>/dev/null | cut -d / -f 3
        } | sort -nu
    fi
}

# describe PID...: what they are, for the operator.
describe() {
    for pid in "$@"; do
        say "  pid $pid: $(ps -o args= -p "$pid" 2>/dev/null || say 'gone meanwhile')"
    done
}

# try_for SECONDS COMMAND...: until it succeeds, quietly; a command that gives up has not succeeded.
try_for() {
    tries=$(($1 * TRIES_PER_SECOND))
    shift
    while ! ("$@") >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep "$TRY_SECONDS"
    done
}

# signal_holders SIGNAL DIR: never init and never the daemon that runs us.
signal_holders() {
    for pid in $(holders "$2"); do
        [ "$pid" -le 1 ] || [ "$pid" -eq "$PPID" ] || kill -s "$1" "$pid" 2>/dev/null
    done
}

# release DIR COMMAND...: runs a command that a busy directory refuses; names the holders, and ends them if
# the operator wants that.
release() {
    dir=$1
    shift
    message=$("$@" 2>&1) && return 0
    say "$message"
    # A desktop's or a scanner's moment is over soon.
    try_for 1 "$@" && return 0
    # shellcheck disable=SC2046 # pids, one word each
    set_holders $(holders "$dir")
    if [ -z "$held_by" ]; then
        say "no process holds $dir: look for file systems mounted below it, loop devices, swap or NFS exports"
        return 1
    fi
    say "$dir is held by:"
    # shellcheck disable=SC2086
    describe $held_by
    if ! yes_param kill-holders; then
        say "stop these, or give this hook the parameter kill-holders: yes"
        return 1
    fi
    signal_holders TERM "$dir"
    try_for "$(param kill-wait 5)" "$@" && return 0
    signal_holders KILL "$dir"
    try_for 5 "$@" && return 0
    say "$dir is still held after KILL by: $(holders "$dir" | tr '\n' ' ')"
    return 1
}

set_holders() { held_by=$*; }

# write_probe DIR: whether the file system takes a write and makes it durable; `rw` in the mount table says nothing.
# The file is made anew (set -C): where others may write, its name could lead anywhere.
write_probe() {
    probe=$1/.hastate-probe
    rm -f "$probe"
    if [ "$SYSTEM" = FreeBSD ]; then
        (set -C && say probe >"$probe") && fsync "$probe"
    else
        (set -C && say probe | dd conv=fsync 2>/dev/null >"$probe")
    fi && rm -f "$probe"
}
