# What this machine is, as one JSON document on stdout. A tool that fails leaves null; the rest is still worth sending.

SYS=${SYS:-/sys}

inventory() {
    printf '{'
    member lshw lshw -json -quiet
    member lsblk lsblk -J -b -O
    member serials serials
    member addr /usr/sbin/ip -j addr
    member link /usr/sbin/ip -j -d link
    member lldp neighbours
    printf '"dmi":{"serial":"%s","uuid":"%s","product":"%s","vendor":"%s","raw":"%s"},' \
        "$(dmi product_serial)" "$(dmi product_uuid)" "$(dmi product_name)" "$(dmi sys_vendor)" "$(dmi_raw)"
    printf '"cpuinfo":{"threads":%s,"model":"%s"},' \
        "$(grep -c '^processor' /proc/cpuinfo)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | json_text)"
    printf '"memory_kb":%s}\n' "$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
}

# Of disks: without udev, lsblk does not know those of SCSI and SATA.
serials() {
    comma=
    printf '{'
    for name in $(disks); do
        printf '%s"%s":"%s"' "$comma" "$name" "$(serial_of "$name" | json_text)"
        comma=,
    done
    printf '}'
}

# member NAME COMMAND...: `"NAME":OUTPUT,`
member() {
    printf '"%s":' "$1"
    shift
    if "$@" > "$T/member" 2>/dev/null && [ -s "$T/member" ]; then cat "$T/member"; else printf null; fi
    printf ','
}

# LLDP is sent every few seconds (30 by the standard's default), so the first frame takes a while, and each link has
# its own. What was heard once counts: lldpd forgets a switch that pauses for longer than its frames live. Who does not
# listen says nothing, which is not the same as that there is nobody. What came of it is in $T/heard, for the console.
neighbours() {
    left=$(argument gs.lldp)
    left=${left:-35}
    [ "$left" -gt 0 ] || return 1
    # It begins paused, and the client that it starts itself to end that may fail (sonic-buildimage, pull request 1650).
    lldpcli resume > /dev/null 2>&1
    most=0
    while :; do
        links=$(plugged | wc -l)
        if lldpcli -f json show neighbors > "$T/lldp.now" 2> "$T/lldp.error"; then
            heard=$(plugged | heard_on "$T/lldp.now")
            if [ "$heard" -ge "$most" ]; then
                mv "$T/lldp.now" "$T/lldp"
                most=$heard
            fi
        fi
        [ "$left" -gt 0 ] || break
        [ "$most" = 0 ] || [ "$most" -lt "$links" ] || break
        nap 1
        left=$((left - 1))
    done
    echo "heard switches on $most of $links links" > "$T/heard"
    [ -s "$T/lldp" ] || echo "lldpd says nothing: $(head -n 1 "$T/lldp.error")" > "$T/heard"
    cat "$T/lldp"
}

# How many of the interfaces on stdin have a neighbour in this answer of lldpcli's.
heard_on() {
    while read -r name; do
        ! grep -q "\"$name\": *{" "$1" || echo "$name"
    done | wc -l
}

# Interfaces with a link, or of which the driver does not say so, one a line.
plugged() {
    for interface in "$SYS"/class/net/*; do
        [ ! -e "$interface/device" ] || [ "$(cat "$interface/carrier" 2>/dev/null)" = 0 ] || echo "${interface##*/}"
    done
}

dmi() {
    cat "$SYS/class/dmi/id/$1" 2>/dev/null | json_text
}

dmi_raw() {
    dmidecode --dump-bin "$T/dmi" > /dev/null 2>&1 && base64 "$T/dmi" | tr -d '\n'
}

# MAC addresses of what is plugged in, one a line; not of bridges, bonds and the like.
macs() {
    for interface in "$SYS"/class/net/*; do
        [ ! -e "$interface/device" ] || cat "$interface/address"
    done
}

registration() {
    printf '{"uuid":"%s","serial":"%s","macs":[%s],"order":"%s","agent":"%s","inventory":' \
        "$(dmi product_uuid)" "$(dmi product_serial)" "$(macs | sed 's/.*/"&"/' | paste -s -d , -)" \
        "$(argument gs.order | json_text)" "$VERSION"
    cat "$T/inventory"
    printf '}'
}
