# Emptying every disk, with proof. A way of wiping counts only when what is read back afterwards is all zeroes.

PLACES=64
PLACE=65536
EDGE=$((64 * MIB))
# Kept in the disk while an ATA erase runs. Public on purpose: after a power cut it must be possible to go on.
ATA_PASSWORD=groundstate

# The work `wipe`. Sets RESULT to one line a disk, or WHY and fails; every disk is tried whatever became of the others.
wipe_disks() {
    only_known || return 1
    failed=
    for disk in $(disks); do
        if wipe_disk "$disk"; then
            RESULT="$RESULT${RESULT:+
}$PROOF"
        else
            failed="$failed${failed:+; }$disk: $WHY"
        fi
    done
    if [ -n "$failed" ]; then
        WHY="not wiped: $failed"
        return 1
    fi
    # A controller without a driver looks just like that, and what is behind it is not wiped.
    if [ -z "$RESULT" ]; then
        WHY="no disk is found, so there is no proof that any is wiped"
        return 1
    fi
    # Named too, as the inventory has them.
    for path in "$SYS"/block/*; do
        ! elsewhere "${path##*/}" || RESULT="$RESULT
${path##*/} left alone: it is reached over a network, and others may use it"
    done
}

# The first way that works and is proved; the ends are always overwritten, whatever the disk promised.
wipe_disk() {
    DISK=$DEV/$1 BYTES=$(bytes_of "$1")
    if [ "$BYTES" = 0 ]; then PROOF="$1 0 bytes: no medium"; return 0; fi
    WHY="it is read-only"
    [ "$(attribute "$1" ro)" = 0 ] || return 1
    for way in $(ways_for "$1"); do
        doing "wiping $1 ($BYTES bytes): $way"
        # No write comes to a disk that is locked; one that is locked by our password has the erase for a way.
        if ! { { mark || [ "$way" = ata_erase ]; } && "$way" "$1" > "$T/way.log" 2>&1 && blank_edges; }; then
            WHY="it cannot be written: $(last_line "$T/zero.error")"
            continue
        fi
        if prove; then
            still_there || return 1
            PROOF="$1 $BYTES bytes: $way, then zeroes read back at $PLACES places"
            say "$PROOF"
            return 0
        fi
        say "$1: not all zeroes after $way"
        WHY="data was read back after every way of wiping"
    done
    return 1
}

# The ways that this disk offers, the most thorough first; the last is always possible.
ways_for() {
    case $1 in
    nvme*) ! command -v nvme > /dev/null || echo nvme_format ;;
    sd*) ! has_ata_erase "$1" || echo ata_erase ;;
    esac
    [ "$(($(attribute "$1" queue/write_zeroes_max_bytes)))" = 0 ] || echo zero_out
    [ "$(($(attribute "$1" queue/discard_max_bytes)))" = 0 ] || echo discard
    echo overwrite
}

nvme_format() {
    nvme format "$DISK" --ses=2 --force || nvme format "$DISK" --ses=1 --force
}

# Only where the disk says that it can, and its firmware has not frozen it.
has_ata_erase() {
    command -v hdparm > /dev/null || return 1
    read_security "$DEV/$1"
    grep -q '^ *supported$' "$T/security" && grep -q 'not *frozen' "$T/security"
}

read_security() {
    hdparm -I "$1" 2>/dev/null | sed -n '/^Security:/,$p' | tr '\t' ' ' > "$T/security"
}

has_password() {
    read_security "$DISK"
    grep -q '^ *enabled' "$T/security"
}

# A password that is set already can only be ours, from an erase that was cut off; with any other this way fails. The
# erase ends the password by itself; where it did not, or failed, that is done here, or the disk would be locked after
# its next start. Not the enhanced erase, which may leave a pattern that proves nothing. hdparm waits for as long as
# the disk says that it takes.
ata_erase() {
    if has_password; then
        hdparm --user-master u --security-unlock "$ATA_PASSWORD" "$DISK"
        hdparm --user-master u --security-disable "$ATA_PASSWORD" "$DISK" || return 1
    fi
    hdparm --user-master u --security-set-pass "$ATA_PASSWORD" "$DISK" || return 1
    hdparm --user-master u --security-erase "$ATA_PASSWORD" "$DISK"
    erased=$?
    ! has_password || hdparm --user-master u --security-disable "$ATA_PASSWORD" "$DISK" || return 1
    return "$erased"
}

# The full path: busybox has an applet of the name that cannot do this.
zero_out() {
    /usr/sbin/blkdiscard -f -z "$DISK"
}

discard() {
    /usr/sbin/blkdiscard -f "$DISK"
}

overwrite() {
    zero "$DISK" 0 "$BYTES"
}

blank_edges() {
    edge=$EDGE
    [ "$BYTES" -gt "$edge" ] || edge=$BYTES
    zero "$DISK" 0 "$edge" && zero "$DISK" $((BYTES - edge)) "$edge"
}

# Where it is read back: evenly over the disk, the first and the last place at its ends.
places() {
    step=$(((BYTES - PLACE) / (PLACES - 1) / 512 * 512))
    place=0
    while [ "$place" -lt $((PLACES - 1)) ]; do
        echo $((place * step))
        place=$((place + 1))
    done
    echo $((BYTES - PLACE))
}

# Most of a disk may never have been written, and a discard is a mere hint: zeroes prove something only where something
# else was before.
mark() {
    head -c $PLACE /dev/zero | tr '\000' x > "$T/place"
    for at in $(places); do
        dd if="$T/place" of="$DISK" bs=$PLACE seek="$at" oflag=seek_bytes conv=notrunc,fsync 2> "$T/zero.error" || return 1
    done
}

prove() {
    drop_caches
    head -c $PLACE /dev/zero > "$T/zeroes"
    for at in $(places); do
        dd if="$DISK" bs=$PLACE skip="$at" count=$PLACE iflag=skip_bytes,count_bytes,fullblock 2>/dev/null |
            cmp -s - "$T/zeroes" || return 1
    done
}
