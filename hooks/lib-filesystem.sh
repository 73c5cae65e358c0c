# shellcheck shell=sh
# What a hook that mounts one file system does; sourced after lib.sh. The hook defines
# check_filesystem DEVICE (return 0 when it may be mounted) and the word FSTYPE.

filesystem() {
    needed_param mountpoint
    mountpoint=$(real_path "$(param mountpoint)")
    device=$(the_device) || exit 1
    [ "$(param mountpoint | cut -c 1)" = / ] || fail "parameter mountpoint is '$(param mountpoint)': write an absolute path"
    case $1 in
    start) filesystem_start ;;
    stop) filesystem_stop ;;
    status) filesystem_status ;;
    rehearse) filesystem_rehearse ;;
    *) fail "verb $1 is not known: start, stop, status or rehearse" ;;
    esac
}

need_device() {
    [ -n "$device" ] || fail "there is no device: the group has none, or parameter resource names none of its resources"
    [ -b "$device" ] || [ -c "$device" ] || fail "$device is no device: was it attached?"
}

filesystem_start() {
    need_device
    if [ ! -d "$mountpoint" ]; then
        yes_param create-mountpoint ||
            fail "mount point $mountpoint does not exist: create it, or give this hook the parameter create-mountpoint: yes"
        mkdir -p "$mountpoint" || exit 1
    fi
    there=$(mounted_on "$mountpoint")
    if [ -n "$there" ]; then
        [ "$(real_path "$there")" = "$(real_path "$device")" ] || fail "$there is already mounted on $mountpoint"
        say "$device is already mounted on $mountpoint"
    else
        check_filesystem "$device" || exit 1
        mount -t "$FSTYPE" -o "$(param options rw)" "$device" "$mountpoint" ||
            fail "$device could not be mounted on $mountpoint: see above, and check the file system by hand"
    fi
    yes_param probe || return 0
    write_probe "$mountpoint" && return 0
    umount "$mountpoint"
    fail "$mountpoint does not take writes"
}

# Every mount of the device goes, wherever it is: it cannot be given away before.
filesystem_stop() {
    if [ -n "$device" ]; then places=$(mounts_of "$device"); else places=$mountpoint; fi
    [ -n "$device" ] || [ -n "$(mounted_on "$mountpoint")" ] || return 0
    status=0
    while IFS= read -r place; do
        [ -n "$place" ] || continue
        if [ "$SYSTEM" = Linux ]; then sync -f "$place"; else sync; fi || say "$place could not be flushed"
        release "$place" umount "$place" </dev/null || status=1
    done <<EOP
$places
EOP
    return "$status"
}

filesystem_status() {
    there=$(mounted_on "$mountpoint")
    [ -n "$there" ] || exit 3
    [ -z "$device" ] || [ "$(real_path "$there")" = "$(real_path "$device")" ] ||
        fail "$mountpoint has $there mounted instead of $device"
    yes_param probe || return 0
    write_probe "$mountpoint" || fail "$mountpoint does not take writes"
}

# The device is here only while the group is: what can be known without it.
filesystem_rehearse() {
    need_command mount umount
    for word in create-mountpoint fsck probe kill-holders; do yes_param "$word" || :; done
    [ -d "$mountpoint" ] || yes_param create-mountpoint ||
        fail "mount point $mountpoint does not exist: create it, or give this hook the parameter create-mountpoint: yes"
    there=$(mounted_on "$mountpoint")
    if [ -n "$there" ] && [ "$there" != "$device" ]; then fail "$there is mounted on $mountpoint: it is in the way"; fi
    say "would mount ${device:-the device} on $mountpoint ($FSTYPE, $(param options rw))"
}
