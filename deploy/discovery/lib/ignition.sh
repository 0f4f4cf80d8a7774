# Putting an Ignition config where the written system's Ignition looks for it, which is not the seed's partition:
#   Fedora CoreOS and its kin: /ignition/config.ign on the file system labelled boot, as coreos-installer writes it
#   Flatcar: /config.ign on the file system labelled OEM, as flatcar-install writes it

# An image that has no such place would start without its config, and say nothing: then it is not made to start.
add_ignition() {
    [ -e "$T/seed/config.ign" ] || return 0
    doing "putting the Ignition config on $DISK"
    copy_table
    for begins in $(sfdisk -d "$T/table" 2>/dev/null | sed -n 's/.*start= *\([0-9]*\).*/\1/p'); do
        # What lies in the first MiB is not on the disk yet; no such partition begins there.
        [ "$begins" -ge 2048 ] || continue
        case $(label_at "$begins") in
        "ext4 boot") place_ignition "$begins" ext4 ignition ignition.firstboot; return ;;
        "ext4 OEM") place_ignition "$begins" ext4 . .; return ;;
        "btrfs OEM") place_ignition "$begins" btrfs . .; return ;;
        esac
    done
    WHY="the user data is an Ignition config, and $image has no file system that Ignition reads it from (labelled boot, as of Fedora CoreOS, or OEM, as of Flatcar)"
    return 1
}

# label_at SECTOR: "ext4 LABEL" or "btrfs LABEL" of what begins there; nothing for anything else. The places are those
# of the superblocks' fields.
label_at() {
    if [ "$(peek $(($1 * 512 + 1080)) 2 | xxd -p)" = 53ef ]; then
        echo "ext4 $(peek $(($1 * 512 + 1144)) 16 | tr -d '\000')"
    elif [ "$(peek $(($1 * 512 + 65600)) 8 | tr -d '\000')" = _BHRfS_M ]; then
        echo "btrfs $(peek $(($1 * 512 + 65835)) 256 | tr -d '\000')"
    fi
}

# place_ignition SECTOR TYPE DIRECTORY NEEDED: and read it back.
place_ignition() {
    WHY="the Ignition config cannot be put on $DISK: "
    if ! mount_at "$1" "$2" rw; then
        WHY="$WHY$(first_line "$T/mount.error")"
    elif [ ! -e "$T/mnt/$4" ]; then
        WHY="$WHY$image has a file system labelled boot without $4, so Ignition would not run"
    elif ! { mkdir -p "$T/mnt/$3" && cp "$T/seed/config.ign" "$T/mnt/$3/config.ign"; } 2> "$T/put.error"; then
        WHY="$WHY$(first_line "$T/put.error")"
    elif unmount; drop_caches; ! mount_at "$1" "$2" ro || ! cmp -s "$T/seed/config.ign" "$T/mnt/$3/config.ign"; then
        WHY="the Ignition config that was read back from $DISK differs from what was written"
    else
        unmount
        say "the Ignition config is where the image reads it"
        return 0
    fi
    return 1
}
