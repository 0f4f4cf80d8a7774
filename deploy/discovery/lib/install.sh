# Writing an image to a disk, so that a disk boots only when all of it is right. What is special about archives of a
# root file system is in root.sh.
#
# The first MiB holds the partition table and is kept in memory until everything else is on the disk, has been read
# back, and has the right checksum. A power cut at any moment before leaves a disk that does not boot, and the next
# try begins from the start.

# The work `install` in $T/work. Sets RESULT to the image's SHA-256 as read back, or WHY and fails.
install_image() {
    image=$(asked image)
    only_known && fetch_seed && choose_disk "$(asked disk)" "$(asked size | grep -x '[0-9]*' || echo 0)" || return 1
    say "installing $image on $DISK ($BYTES bytes)"
    unmount
    if ! blank_ends "$DISK" "$BYTES"; then
        WHY="$DISK cannot be written: $(last_line "$T/zero.error")"
        return 1
    fi
    if write_image && check_fetched && check_written && add_ignition && add_seed && write_first && still_there; then
        RESULT=$WRITTEN
        return 0
    fi
    unmount
    blank_ends "$DISK" "$BYTES"
    return 1
}

last_line() {
    tr '\r' '\n' < "$1" 2>/dev/null | tail -n 1
}

first_line() {
    head -n 1 "$1" 2>/dev/null
}

write_image() {
    fetch_into store "writing @ of $image" && check_sum || return 1
    [ "$(cat "$T/store.status")" != 0 ] || return 0
    WHY="writing to $DISK failed; the disk has $BYTES bytes: $(last_line "$T/store.error")"
    [ ! -s "$T/store.why" ] || WHY=$(cat "$T/store.why")
    return 1
}

# fetch_into CONSUMER WORDS: the unpacked image is its input. Again from the start while it is the network's or the
# server's fault.
fetch_into() {
    pause=1
    while :; do
        doing "$2"
        stream "$1"
        case $(cat "$T/curl.status") in
        0 | 23) return 0 ;;
        22) if refused_for_good; then WHY="$(asked url): $(last_line "$T/meter")"; return 1; fi ;;
        esac
        say "download broke off: $(last_line "$T/meter"); from the start in $pause s"
        nap "$pause"
        pause=$((pause * 2))
        [ "$pause" -le 30 ] || pause=30
    done
}

# Everything in one stream, as the image may be larger than the memory. The statuses of its parts are left in $T.
stream() {
    rm -f "$T"/*.fifo "$T"/*.status
    mkfifo "$T/fetched.fifo" "$T/raw.fifo" "$T/count.fifo"
    sha256sum < "$T/fetched.fifo" > "$T/fetched.sum" & sums=$!
    sha256sum < "$T/raw.fifo" > "$T/raw.sum" & sums="$sums $!"
    wc -c < "$T/count.fifo" > "$T/count" & sums="$sums $!"
    # Each part notes its status, which a pipe would lose.
    { download; echo $? > "$T/curl.status"; } |
        tee "$T/fetched.fifo" |
        { unpack; echo $? > "$T/unpack.status"; cat > /dev/null; } |
        tee "$T/raw.fifo" "$T/count.fifo" |
        { "$1"; echo $? > "$T/store.status"; }
    # shellcheck disable=SC2086  several numbers; a plain wait would wait for the teller too
    wait $sums
}

# The service's own images need the session. Elsewhere nothing secret is sent, and the checksum guards what comes.
download() {
    url=$(asked url)
    case $url in
    "$API"/*) set -- $TRUST -H "@$T/auth" ;;
    *) set -- -k ;;
    esac
    curl -f -L "$@" --connect-timeout 10 --speed-limit 1 --speed-time 60 "$url" 2> "$T/meter"
}

refused_for_good() {
    ! grep -qE 'error: (408|429|5..)' "$T/meter"
}

# By the first bytes, as names lie.
unpack() {
    dd bs=6 count=1 iflag=fullblock of="$T/magic" 2>/dev/null
    case $(xxd -p "$T/magic") in
    1f8b*) cat "$T/magic" - | gunzip -c ;;
    28b52ffd*) cat "$T/magic" - | zstd -q -d -c ;;
    fd377a585a00) cat "$T/magic" - | unxz -c ;;
    *) cat "$T/magic" - ;;
    esac
}

# A sentence of its own, when it has one, is left in $T/store.why.
store() {
    rm -f "$T/archive" "$T/store.why"
    dd of="$T/first" bs=$MIB count=1 iflag=fullblock 2>/dev/null
    if [ "$(dd if="$T/first" bs=1 skip=257 count=5 2>/dev/null)" = ustar ]; then
        touch "$T/archive"
        cat "$T/first" - | { unpack_root; status=$?; cat > /dev/null; return $status; }
    else
        dd of="$DISK" bs=$MIB seek=1 iflag=fullblock conv=notrunc 2> "$T/store.error"
    fi
}

is_archive() {
    [ -e "$T/archive" ]
}

check_sum() {
    fetched=$(cut -d ' ' -f 1 "$T/fetched.sum")
    [ "$fetched" != "$(asked sha256)" ] || return 0
    WHY="wrong checksum of $(asked url): sha256 $fetched came, $(asked sha256) was due"
    return 1
}

check_fetched() {
    if ! check_sum; then
        return 1
    elif [ "$(cat "$T/unpack.status")" != 0 ]; then
        WHY="$image has its checksum but cannot be unpacked"
    elif ! is_archive && [ "$(cat "$T/count")" -gt "$BYTES" ]; then
        WHY="$image has $(cat "$T/count") bytes, $DISK only $BYTES"
    else
        WRITTEN=$(cut -d ' ' -f 1 "$T/raw.sum")
        say "fetched whole: $(cat "$T/count") bytes, sha256 $WRITTEN"
        return 0
    fi
    return 1
}

# The first MiB is not on the disk yet; it is compared when it is.
check_written() {
    if is_archive; then finish_root && check_root; return; fi
    doing "reading $image back"
    drop_caches
    rest=$(($(cat "$T/count") - MIB))
    read_back=$({ cat "$T/first"
        [ "$rest" -le 0 ] || dd if="$DISK" bs=$MIB skip=1 count="$rest" iflag=count_bytes,fullblock 2>/dev/null
    } | sha256sum | cut -d ' ' -f 1)
    if [ "$read_back" != "$WRITTEN" ]; then
        WHY="what was read back from $DISK differs from what was written: sha256 $read_back instead of $WRITTEN"
        return 1
    fi
    say "read back equal"
}

# The seed's files in $T/seed; an empty directory when there are none.
fetch_seed() {
    rm -rf "$T/seed"
    mkdir "$T/seed"
    insist GET seed
    case $CODE in
    204) return 0 ;;
    200) tar -x -f "$T/answer" -C "$T/seed" && return 0 || WHY="the seed is not a tar archive" ;;
    *) WHY="the seed was refused ($CODE)" ;;
    esac
    return 1
}

# Where the seed goes: sets sectors (of the disk), start and length, in units of 512 bytes.
seed_place() {
    sectors=$((BYTES / 512)) length=0
    [ -z "$(ls "$T/seed")" ] || length=$(($(du -s -k "$T/seed" | cut -f 1) / 1024 * 2048 + 8192))
    start=$(((sectors - 2048 - length) / 2048 * 2048))
}

# The partition table in a copy as large as the disk, so that the disk's own first MiB stays blank.
copy_table() {
    rm -f "$T/table"
    truncate -s "$BYTES" "$T/table"
    dd if="$T/first" of="$T/table" conv=notrunc 2>/dev/null
}

# The copy becomes what write_first writes; its second half goes to the end of the disk now.
keep_table() {
    put "$T/table" $((sectors - 33)) $((sectors - 33)) 33 || return 1
    dd if="$T/table" of="$T/first" bs=$MIB count=1 2>/dev/null
    rm -f "$T/table"
}

# A small FAT partition labelled CIDATA at the end of the disk, where cloud-init looks and where it is in nobody's way:
# the root partition can still grow.
add_seed() {
    seed_place
    [ "$length" != 0 ] || return 0
    doing "adding the seed"
    copy_table
    case $(sfdisk -d "$T/table" 2>/dev/null | sed -n 's/^label: //p') in
    gpt) line="start=$start,size=$length,type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7,name=CIDATA" ;;
    dos) line="start=$start,size=$length,type=c" ;;
    *) WHY="$image has no partition table, so the seed has no place"; return 1 ;;
    esac
    if ! echo "$line" | sfdisk -q --append "$T/table" > "$T/sfdisk.error" 2>&1; then
        WHY="the seed has no place on $DISK: $(last_line "$T/sfdisk.error")"
        return 1
    fi
    if ! make_fat "$T/fat" $((length * 512)) 2> "$T/fat.error"; then
        WHY="the seed's file system cannot be made: $(last_line "$T/fat.error")"
        return 1
    fi
    put "$T/fat" 0 "$start" "$length" && keep_table || return 1
    rm -f "$T/fat"
}

# make_fat FILE BYTES: with every file of the seed.
make_fat() {
    truncate -s "$2" "$1" && /usr/sbin/mkfs.vfat -n CIDATA "$1" > /dev/null && mcopy -s -i "$1" "$T"/seed/* ::/
}

# put FILE FROM-SECTOR TO-SECTOR SECTORS: onto the disk.
put() {
    dd if="$1" of="$DISK" bs=512 skip="$2" seek="$3" count="$4" conv=notrunc,fsync 2> "$T/put.error" && return 0
    WHY="writing to $DISK failed: $(last_line "$T/put.error")"
    return 1
}

# The moment at which the disk becomes one that boots.
write_first() {
    drop_caches
    put "$T/first" 0 0 2048 || return 1
    drop_caches
    if ! head -c "$(wc -c < "$T/first")" "$DISK" | cmp -s - "$T/first"; then
        WHY="the first MiB that was read back from $DISK differs from what was written"
        return 1
    fi
    say "$image is on $DISK"
}
