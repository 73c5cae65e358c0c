# shellcheck shell=sh
# How services of the system are started and asked; sourced after lib.sh.

# A name reaches a command line: nothing but what unit and rc names are made of.
service_name() {
    case $1 in
    '' | -* | *[!A-Za-z0-9_.@:-]*) fail "'$1' is no name of a service" ;;
    esac
}

port_number() {
    case $1 in
    '' | *[!0-9]*) fail "parameter port is '$1': write a number" ;;
    esac
}

# system_service start|stop|status|reload|rehearse NAME: 3 when status finds it stopped.
system_service() {
    service_name "$2"
    if [ "$(uname -s)" = FreeBSD ]; then
        rc_service "$1" "$2"
    elif [ -d /run/systemd/system ] || [ "${HASTATE_PARAM_INIT:-}" = systemd ]; then
        systemd_service "$1" "$2"
    else
        sysv_service "$1" "$2"
    fi
}

# `one`: whether it is enabled in rc.conf is no matter here.
rc_service() {
    case $1 in
    start | reload) service "$2" "one$1" ;;
    # It refuses to stop what does not run.
    stop) service "$2" onestop || rc_stopped "$2" ;;
    status)
        service "$2" onestatus && return 0
        return 3
        ;;
    rehearse)
        [ -x "/usr/local/etc/rc.d/$2" ] || [ -x "/etc/rc.d/$2" ] || fail "there is no rc.d script $2: install it"
        say "would run: service $2 onestart"
        ;;
    esac
}

# rc_stopped NAME: only its own word counts, or the exit code that pg_ctl and LSB have for it: a status that fails for
# another reason tells nothing.
rc_stopped() {
    code=0
    answer=$(service "$1" onestatus 2>&1) || code=$?
    say "$answer"
    case $code$answer in 3*) return 0 ;; 0*) return 1 ;; *'not running'*) return 0 ;; esac
    return 1
}

systemd_service() {
    case $1 in
    start | reload) systemctl "$1" -- "$2" ;;
    stop)
        systemctl stop -- "$2" || return
        [ "$(systemctl is-active -- "$2")" = failed ] || return 0
        # So are a unit that crashed, which would never be found stopped, and one that SIGKILL could not end.
        pids=$(unit_processes "$2")
        if [ -n "$pids" ]; then
            say "systemd gave up on $2, and its processes are there: $pids"
            return 1
        fi
        systemctl reset-failed -- "$2" || true
        ;;
    status)
        state=$(systemctl is-active -- "$2") || true
        case $state in
        active | reloading) return 0 ;;
        # On its way: neither yet.
        activating | deactivating) return 1 ;;
        inactive) return 3 ;;
        *)
            say "$2 is $state"
            return 1
            ;;
        esac
        ;;
    rehearse)
        systemctl cat -- "$2" >/dev/null || fail "systemd knows no unit $2: install it"
        [ "$(systemctl is-enabled -- "$2" 2>/dev/null)" != enabled ] ||
            fail "$2 is enabled at boot, where hastate decides; run: systemctl disable $2"
        say "would run: systemctl start $2"
        ;;
    esac
}

# unit_processes NAME: pids in its control group, wherever that is: systemd may have forgotten it.
unit_processes() {
    case $1 in *.service) unit=$1 ;; *) unit=$1.service ;; esac
    find /sys/fs/cgroup -path "*/$unit/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -nu | tr '\n' ' '
}

# LSB: status exits with 0 running, 1..3 not running, 4 unknown.
sysv_service() {
    script=/etc/init.d/$2
    [ -x "$script" ] || fail "there is neither systemd nor an executable $script: give this hook start-command and stop-command"
    case $1 in
    start | stop | reload) "$script" "$1" ;;
    status)
        code=0
        "$script" status || code=$?
        case $code in
        0) return 0 ;;
        1 | 2 | 3) return 3 ;;
        *) return 1 ;;
        esac
        ;;
    rehearse) say "would run: $script start" ;;
    esac
}

# answers PORT: whether something listens on 127.0.0.1.
answers() {
    port_number "$1"
    if command -v nc >/dev/null 2>&1; then
        nc -z -w 2 127.0.0.1 "$1" >/dev/null 2>&1
    elif [ "$(uname -s)" = FreeBSD ]; then
        sockstat -4l -p "$1" | grep -q "[:.]$1 "
    else
        # State 0A listens; addresses are hexadecimal there.
        hex=$(printf ':%04X' "$1")
        awk -v port="$hex" '$4 == "0A" && index($2, port) { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
    fi
}

not_running() {
    code=0
    (service_state) >/dev/null 2>&1 || code=$?
    [ "$code" -eq 3 ]
}
