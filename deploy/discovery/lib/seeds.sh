# Installations on the disks, told by their seeds. A service that was restored from a backup has forgotten those since:
# a machine that looks free to it may be somebody's, and off.

# Is everything that is installed known to the service, by the lines `known INSTANCE` of its answer? Else fails with
# WHY. A service without such lines does not ask for it.
only_known() {
    grep -q '^known ' "$T/work" || return 0
    unknown='' on=''
    for disk in $(disks); do
        for id in $(instances_on "$disk"); do
            grep -qxF "known $id" "$T/work" && continue
            unknown="$unknown${unknown:+ }$id" on="$on${on:+ }$disk"
        done
    done
    [ -n "$unknown" ] || return 0
    WHY="nothing is touched: on $on is an installation that the service does not know of, $unknown; it may have forgotten it, as when its store was restored from a backup; if it is nobody's, set spec.lifecycle.request of the machine to $unknown; that lets it go"
    return 1
}

# instances_on NAME: the instance-id of every CIDATA file system in its partitions. Seeds that have none are not ours.
instances_on() {
    DISK=$DEV/$1
    sfdisk -d "$DISK" 2>/dev/null | sed -n 's/.*start= *\([0-9]*\).*/\1/p' | while read -r begins; do
        # The label's place in FAT32, and in FAT12 and FAT16.
        case $(peek $((begins * 512 + 71)) 6)/$(peek $((begins * 512 + 43)) 6) in
        *CIDATA* | *cidata*) ;;
        *) continue ;;
        esac
        mcopy -i "$DISK@@$((begins * 512))" ::meta-data - 2>/dev/null < /dev/null |
            sed -n 's/^instance-id: *//p' | tr -d '"\r\t ' | head -n 1
    done
}
