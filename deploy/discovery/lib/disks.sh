# The machine's disks, by their names in /sys/block. SYS and DEV may be a directory of a test's own.

SYS=${SYS:-/sys}
DEV=${DEV:-/dev}
MIB=1048576

# Names of all disks that belong to the machine: not removable, not made of others, and not somewhere else.
disks() {
    in_image || [ "$SYS" != /sys ] || return 1
    for path in "$SYS"/block/*; do
        name=${path##*/}
        case $name in
        loop* | ram* | zram* | sr* | fd* | dm-* | md* | nbd* | mmcblk*boot* | mmcblk*rpmb) continue ;;
        esac
        # "hidden": one path of an NVMe disk that has several; the disk itself is listed too.
        elsewhere "$name" && continue
        [ "$(attribute "$name" removable)" = 0 ] && [ "$(attribute "$name" hidden)" != 1 ] && echo "$name"
    done
}

# Whether the disk is a LUN of a SAN or an NVMe namespace over a network, which other machines may use: Fibre Channel
# (rport-), iSCSI and its like (session), and any NVMe transport but PCI Express. An NVMe disk that has several paths, as
# those over a network have, belongs to a subsystem, and its transports are those of the controllers there.
elsewhere() {
    case $(readlink -f "$SYS/block/$1/device" 2>/dev/null) in
    */rport-* | */session[0-9]* | */vport-*) return 0 ;;
    esac
    for transport in "$SYS/block/$1"/device/transport "$SYS/block/$1"/device/nvme*/transport; do
        [ ! -r "$transport" ] || [ "$(cat "$transport")" = pcie ] || return 0
    done
    return 1
}

attribute() {
    cat "$SYS/block/$1/$2" 2>/dev/null
}

# /sys/block counts in 512 bytes whatever the disk's own sectors are.
bytes_of() {
    echo $(($(attribute "$1" size) * 512))
}

# choose_disk WISH AT-LEAST-BYTES: sets DISK and BYTES, or WHY.
# WISH: `auto`, /dev/NAME or a serial number. auto is the smallest that is large enough, one on USB only where there is
# no other. Among equals it goes by what the disk says of itself: names change from start to start, and what is
# installed anew beside the old leaves two systems to start from.
choose_disk() {
    case $1 in
    '' | auto) found=$(candidates "$2" | sort -k 1,1n -k 2,2n -k 3 | sed -n '1s/.* //p') ;;
    /dev/*) found=$(disks | grep -x -- "${1#/dev/}") ;;
    *) found=$(for name in $(disks); do [ "$(serial_of "$name")" != "$1" ] || echo "$name"; done | head -n 1) ;;
    esac
    if [ -z "$found" ]; then
        WHY="no disk for the image: asked for ${1:-auto}, of at least $2 bytes; there are: $(disks | paste -s -d ' ' -)"
        return 1
    fi
    DISK=$DEV/$found
    BYTES=$(bytes_of "$found")
}

candidates() {
    for name in $(disks); do
        size=$(bytes_of "$name")
        if [ "$(attribute "$name" ro)" = 0 ] && [ "$size" -ge "$1" ] && [ "$size" -gt "$MIB" ] && ! in_use "$name"; then
            echo "$(on_usb "$name") $size $(itself "$name") $name"
        fi
    done
}

on_usb() {
    case $(readlink -f "$SYS/block/$1/device" 2>/dev/null) in
    */usb[0-9]*) echo 1 ;;
    *) echo 0 ;;
    esac
}

# What tells it from all others wherever it is plugged in: one word, or none.
itself() {
    for place in wwid device/wwid device/serial serial; do
        word=$(attribute "$1" "$place" | tr -s ' \n' '__')
        [ -z "${word#_}" ] || { echo "$word"; return; }
    done
}

# Is something of it mounted? The image itself lives in memory, so this is for those who put it elsewhere.
in_use() {
    grep -q "^$DEV/$1" "${MOUNTS:-/proc/mounts}"
}

# SCSI and SATA disks tell it in a page of their Vital Product Data (SPC-4, 7.8.16), behind four bytes.
serial_of() {
    for place in serial device/serial device/vpd_pg80; do
        [ -r "$SYS/block/$1/$place" ] || continue
        from=1
        [ "$place" != device/vpd_pg80 ] || from=5
        word=$(tail -c "+$from" "$SYS/block/$1/$place" | tr -cd '\041-\176')
        [ -z "$word" ] || { echo "$word"; return; }
    done
}

# zero DISK FIRST-BYTE BYTES, both multiples of 512. What the disk did not take after all is known when it is flushed.
zero() {
    head -c "$3" /dev/zero |
        dd of="$1" bs=$MIB seek="$2" oflag=seek_bytes iflag=fullblock conv=notrunc,fsync 2> "$T/zero.error"
}

# Nothing boots from a disk without its first MiB, and no firmware restores a partition table from its last.
blank_ends() {
    zero "$1" 0 $MIB && zero "$1" $(($2 - MIB)) $MIB && sync
}

# What is read next comes from the disk, not from memory.
drop_caches() {
    sync
    ! in_image || echo 3 > /proc/sys/vm/drop_caches
}

# Is $DISK still the disk that it was? Of one that has gone, what is written and read back is a file of its name in
# memory.
still_there() {
    { [ -b "$DISK" ] || [ "$DEV" != /dev ]; } && [ "$(attribute "${DISK##*/}" size)" = $((BYTES / 512)) ] && return 0
    WHY="$DISK has gone, or has another size than the $BYTES bytes of before"
    return 1
}

# peek BYTE COUNT: of $DISK; without the zero bytes, in $(...).
peek() {
    dd if="$DISK" bs="$2" skip="$1" count=1 iflag=skip_bytes 2>/dev/null
}

# mount_at SECTOR TYPE OPTIONS: the file system that begins there on $DISK, at $T/mnt. By a loop device, so that the
# kernel has to know of no partition, and the disk of no partition table.
mount_at() {
    mkdir -p "$T/mnt"
    attach "$1" && mount -t "$2" -o "$3" "$(cat "$T/loop")" "$T/mnt" 2> "$T/mount.error"
}

# attach SECTOR: its name is left in $T/loop. Somebody else may take the free one first.
attach() {
    # The kernel asks for no module here, as it would by /sbin/modprobe.
    ! in_image || modprobe -q -a loop crc32c_generic ext4 btrfs
    for try in 1 2 3 4 5; do
        losetup -f > "$T/loop" && losetup -o $(($1 * 512)) "$(cat "$T/loop")" "$DISK" 2> "$T/mount.error" && return 0
    done
    rm -f "$T/loop"
    return 1
}

# Nothing to do is no failure.
unmount() {
    [ -e "$T/loop" ] || return 0
    umount "$T/mnt" 2>/dev/null
    losetup -d "$(cat "$T/loop")" 2>/dev/null
    rm -f "$T/loop"
}
