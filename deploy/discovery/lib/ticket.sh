# Started from a CD, a machine has no boot program that could tell it what it was started for: the script that one would
# have been given is asked for here, and what it has for the kernel's command line is kept as $CMDLINE.

ticket() {
    service=$(argument gs.boot)
    [ -n "$service" ] || return 0
    pause=1
    while :; do
        curl -sSf --connect-timeout 10 -m 60 -o "$T/script" "${service%/}/boot/$(dmi product_uuid)?$(cards)" 2> "$T/script.error"
        case $? in
        0)
            if sed -n 's/^kernel //p' "$T/script" | grep 'gs\.token=' > "$T/cmdline"; then
                CMDLINE=$T/cmdline
                return 0
            fi
            # Some BMCs start it from the CD again and again.
            nap 60
            start_again "$(sed -n 's/^echo groundstate: //p' "$T/script" | head -n 1)"
            ;;
        *)
            say "no script from $service: $(head -n 1 "$T/script.error"); again in $pause s"
            nap "$pause"
            pause=$((pause * 2))
            [ "$pause" -le 30 ] || pause=30
            ;;
        esac
    done
}

# The one with an address first, as the service takes that for the card in use.
cards() {
    used=$(/usr/sbin/ip -o -4 addr show scope global 2>/dev/null | awk '{print $2; exit}')
    { [ -z "$used" ] || cat "$SYS/class/net/$used/address"; macs; } | awk 'NF && !seen[$1]++ {printf "%smac=%s", (NR > 1 ? "&" : ""), $1}'
}
