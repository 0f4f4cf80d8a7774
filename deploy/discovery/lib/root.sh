# Installing an archive of a root file system (tar): partitions, file systems and the boot loader are made here.
#
# The file systems are made at places that only this program knows, and the partition table comes last, as with images
# of whole disks. The disk gets an EFI system partition with systemd-boot, the archive's kernel and its initrd; a root
# partition (ext4) as large as possible; and the seed.

LOADER=usr/lib/systemd/boot/efi/systemd-bootx64.efi
# Types by the UEFI specification and the Discoverable Partitions Specification.
ESP_TYPE=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
ROOT_TYPE=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
ESP_AT=2048

# The archive is on stdin. A reason for failing is left in $T/store.why.
unpack_root() {
    unmount
    lay_out && make_root || return 1
    /usr/bin/tar -x -p --same-owner --numeric-owner --acls --xattrs --xattrs-include='*' -C "$T/mnt" -f - \
        2> "$T/store.error" && return 0
    refuse "$image cannot be unpacked on $DISK ($BYTES bytes): $(first_line "$T/store.error")"
}

refuse() {
    echo "$*" > "$T/store.why"
    return 1
}

# Sets esp, root_at and root: lengths and a place in units of 512 bytes. An eighth of the disk for kernels, from 64 MiB
# to 1 GiB.
lay_out() {
    seed_place
    esp=$((sectors / 8 / 2048 * 2048))
    [ "$esp" -le 2097152 ] || esp=2097152
    [ "$esp" -ge 131072 ] || esp=131072
    root_at=$((ESP_AT + esp))
    root=$((start - root_at))
    block=$(attribute "${DISK##*/}" queue/logical_block_size)
    if [ ! -d "$SYS/firmware/efi" ]; then
        refuse "$image is an archive of a root file system, which is made to start by UEFI; this machine started by BIOS"
    elif [ "${block:-512}" != 512 ]; then
        refuse "$image is an archive of a root file system; for disks with sectors of $block bytes, as $DISK, it has to be a whole disk image"
    elif [ "$root" -lt 131072 ]; then
        refuse "$DISK has $BYTES bytes, which is too small for $image: an archive of a root file system needs 256 MiB"
    fi
}

make_root() {
    attach "$root_at" &&
        /usr/sbin/mkfs.ext4 -q -F -L root "$(cat "$T/loop")" $((root / 2))k > "$T/mount.error" 2>&1 &&
        unmount && mount_at "$root_at" ext4 noatime && return 0
    refuse "the root file system on $DISK cannot be made: $(first_line "$T/mount.error")"
}

# What a root file system needs to start from this disk.
finish_root() {
    lay_out
    kernel=$(newest "$T/mnt/boot")
    if [ -z "$kernel" ]; then
        WHY="$image is a tar archive without a kernel (boot/vmlinuz*); an archive is to be a root file system with a kernel"
        return 1
    fi
    initrd=$(initrd_of "${kernel#vmlinuz}")
    doing "making $DISK start $kernel"
    make_table && write_fstab && make_esp
}

# By version, without what is there for emergencies. No links: theirs lead to what they name in this system.
newest() {
    for one in "$1"/vmlinuz*; do
        case $one in *.old | *rescue*) continue ;; esac
        [ ! -f "$one" ] || [ -L "$one" ] || echo "${one##*/}"
    done | sort -V | tail -n 1
}

# By the names that Debian, SUSE, Fedora and Arch give it; nothing when there is none.
initrd_of() {
    for one in "initrd.img$1" "initrd$1" "initramfs$1.img" "initrd$1.img"; do
        if [ -f "$T/mnt/boot/$one" ] && [ ! -L "$T/mnt/boot/$one" ]; then echo "$one"; return; fi
    done
}

make_table() {
    rm -f "$T/table"
    truncate -s "$BYTES" "$T/table"
    if ! printf 'label: gpt\nstart=%s,size=%s,type=%s,name=ESP\nstart=%s,size=%s,type=%s,name=root\n' \
        "$ESP_AT" "$esp" "$ESP_TYPE" "$root_at" "$root" "$ROOT_TYPE" |
        sfdisk -q "$T/table" > "$T/sfdisk.error" 2>&1; then
        WHY="the partition table for $DISK cannot be made: $(last_line "$T/sfdisk.error")"
        return 1
    fi
    esp_uuid=$(part_uuid 1) root_uuid=$(part_uuid 2)
    keep_table
}

part_uuid() {
    sfdisk --part-uuid "$T/table" "$1" | tr A-F a-f
}

# The archive's own, with our partitions in the place of others at the same points.
write_fstab() {
    etc=$T/mnt/etc
    if mkdir -p "$etc" "$T/mnt/boot/efi" && fstab > "$T/fstab" && rm -f "$etc/fstab" && cp "$T/fstab" "$etc/fstab" &&
        chmod 644 "$etc/fstab"; then
        return 0
    fi
    WHY="etc/fstab on $DISK cannot be written"
    return 1
}

fstab() {
    [ ! -f "$etc/fstab" ] || [ -L "$etc/fstab" ] ||
        awk '$1 ~ /^#/ || ($2 != "/" && $2 != "/boot/efi" && $2 != "/efi")' "$etc/fstab"
    echo "PARTUUID=$root_uuid / ext4 defaults 0 1"
    echo "PARTUUID=$esp_uuid /boot/efi vfat umask=0077,nofail 0 0"
}

# The kernel's arguments: those in the image's etc/kernel/cmdline, as for systemd's kernel-install; where it has none,
# the consoles on which this agent speaks.
arguments() {
    if [ -f "$T/mnt/etc/kernel/cmdline" ] && [ ! -L "$T/mnt/etc/kernel/cmdline" ]; then
        given=$(tr -s ' \t\n' '\n' < "$T/mnt/etc/kernel/cmdline" | grep -v '^root=')
    else
        given=$(tr ' ' '\n' < "${CMDLINE:-/proc/cmdline}" | grep '^console=')
    fi
    echo "root=PARTUUID=$root_uuid rw $given" | tr '\n' ' '
}

make_esp() {
    at=$DISK@@$((ESP_AT * 512))
    loader=/$LOADER
    for one in "$T/mnt/$LOADER" "$T/mnt/$LOADER.signed"; do
        [ ! -f "$one" ] || [ -L "$one" ] || loader=$one
    done
    echo "timeout 0" > "$T/loader.conf"
    {
        printf 'title %s\nlinux /vmlinuz\n' "$image"
        [ -z "$initrd" ] || echo "initrd /initrd"
        echo "options $(arguments)"
    } > "$T/entry.conf"
    # With fewer than 65525 clusters it would not be FAT32.
    cluster=8
    [ "$esp" -ge 1048576 ] || cluster=1
    if /usr/sbin/mkfs.vfat -I -F 32 -s $cluster -n ESP --offset "$ESP_AT" "$DISK" $((esp / 2)) > "$T/esp.error" 2>&1 &&
        mmd -i "$at" ::EFI ::EFI/BOOT ::loader ::loader/entries 2> "$T/esp.error" && esp_files put_file; then
        return 0
    fi
    WHY="the EFI system partition on $DISK cannot be made: $(first_line "$T/esp.error")"
    return 1
}

# esp_files COMMAND: with each file and its path on the partition, until one fails.
esp_files() {
    "$1" "$T/mnt/boot/$kernel" vmlinuz && { [ -z "$initrd" ] || "$1" "$T/mnt/boot/$initrd" initrd; } &&
        "$1" "$T/loader.conf" loader/loader.conf && "$1" "$T/entry.conf" loader/entries/groundstate.conf &&
        "$1" "$loader" EFI/BOOT/BOOTX64.EFI
}

put_file() {
    mcopy -i "$at" "$1" "::$2" 2> "$T/esp.error"
}

is_there() {
    mcopy -i "$at" "::$2" - 2>/dev/null | cmp -s - "$1"
}

# The archive is fetched once more, and every file of it compared with what the disk has: content, owner, mode, time.
check_root() {
    unmount
    drop_caches
    if ! mount_at "$root_at" ext4 ro; then
        WHY="the root file system on $DISK cannot be read back: $(first_line "$T/mount.error")"
        return 1
    fi
    fetch_into compare "comparing @ of $image with $DISK" && check_fetched || return 1
    WHY="what was read back from $DISK differs from $image"
    if [ "$(cat "$T/store.status")" != 0 ]; then
        WHY="$WHY: $(first_line "$T/store.error")"
        return 1
    fi
    cmp -s "$T/fstab" "$T/mnt/etc/fstab" && esp_files is_there || return 1
    unmount
    say "read back equal"
}

# Fails with the first difference in $T/store.error. It reads to the end, for the checksum.
compare() {
    /usr/bin/tar -d --numeric-owner --anchored --exclude=etc/fstab --exclude=./etc/fstab -C "$T/mnt" -f - \
        > "$T/store.error" 2>&1
    status=$?
    cat > /dev/null
    return $status
}
