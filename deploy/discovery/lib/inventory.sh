# What this machine is, as one JSON document on stdout. A tool that fails leaves null; the rest is still worth sending.

SYS=${SYS:-/sys}

inventory() {
    printf '{'
    member lshw lshw -json -quiet
    member lsblk lsblk -J -b -O
    member addr /usr/sbin/ip -j addr
    member link /usr/sbin/ip -j -d link
    member lldp neighbours
    printf '"dmi":{"serial":"%s","uuid":"%s","product":"%s","vendor":"%s","raw":"%s"},' \
        "$(dmi product_serial)" "$(dmi product_uuid)" "$(dmi product_name)" "$(dmi sys_vendor)" "$(dmi_raw)"
    printf '"cpuinfo":{"threads":%s,"model":"%s"},' \
        "$(grep -c '^processor' /proc/cpuinfo)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | json_text)"
    printf '"memory_kb":%s}\n' "$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
}

# member NAME COMMAND...: `"NAME":OUTPUT,`
member() {
    printf '"%s":' "$1"
    shift
    if "$@" > "$T/member" 2>/dev/null && [ -s "$T/member" ]; then cat "$T/member"; else printf null; fi
    printf ','
}

# LLDP is sent every few seconds (30 by the standard's default), so the first frame takes a while. Who does not listen
# for it says nothing, which is not the same as that there is nobody.
neighbours() {
    left=$(argument gs.lldp)
    left=${left:-8}
    [ "$left" -gt 0 ] || return 1
    while [ "$left" -gt 0 ] && ! lldpcli -f json show neighbors 2>/dev/null | grep -q '"chassis"'; do
        sleep 1
        left=$((left - 1))
    done
    lldpcli -f json show neighbors
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
