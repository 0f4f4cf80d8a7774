# Speaking with the service. $CODE is the status of the last answer, 000 when there was none; its body is $T/answer.

# request METHOD PATH [BODY-FILE] [ANSWER-FILE]
request() {
    set -- "$1" "$2" "${3:-}" "${4:-$T/answer}"
    # shellcheck disable=SC2086  several words
    CODE=$(curl -sS $TRUST --connect-timeout 10 -m 60 -X "$1" -H "@$T/auth" ${3:+-H Content-Type:application/json --data-binary "@$3"} \
        -o "$4" -w '%{http_code}' "$API/agent/v1/$2" 2> "$4.error") || CODE=000
}

# The same until there is a final answer: no answer at all and trouble of the server's own are never final.
insist() {
    pause=1
    while :; do
        request "$@"
        case $CODE in
        000) why=$(head -n 1 "$T/answer.error") ;;
        408 | 429 | 5*) why="status $CODE" ;;
        *) break ;;
        esac
        say "$1 $2: ${why:-no answer}; again in $pause s"
        nap "$pause"
        pause=$((pause * 2))
        [ "$pause" -le 30 ] || pause=30
    done
    [ "$CODE" -lt 300 ]
}

# The certificate of a machine whose clock is years off is not valid yet; the service's word is good enough for that.
set_clock() {
    in_image || return 0
    date_line=$(curl -sSkI -m 10 "$API/" 2>/dev/null | tr -d '\r' | sed -n 's/^[Dd]ate: //p')
    there=$(date -u -D '%a, %d %b %Y %H:%M:%S GMT' -d "$date_line" +%s 2>/dev/null) || return 0
    off=$((there - $(date +%s)))
    if [ "${off#-}" -gt 60 ]; then
        date -u -s "@$there" > /dev/null && say "the clock was $off s behind and is set"
    fi
}

register() {
    doing "taking the inventory"
    inventory > "$T/inventory"
    [ ! -s "$T/heard" ] || say "$(cat "$T/heard")"
    registration > "$T/registration"
    say "registering ($(wc -c < "$T/registration") bytes)"
    if ! insist POST register "$T/registration"; then
        switch_off_refused "the registration was refused ($CODE): $(head -c 300 "$T/answer" | tr '\n' ' ')"
    fi
    session=$(sed -n 's/.*"session" *: *"\([^"]*\)".*/\1/p' "$T/answer")
    printf 'Authorization: Bearer %s\n' "$session" > "$T/auth"
    say "registered"
}

# fact TYPE DETAIL: told for certain, unless it is refused.
fact() {
    fact_body "$1" "$2" > "$T/fact"
    say "reporting $1"
    insist POST facts "$T/fact" || say "the report $1 was refused ($CODE)"
}

fact_body() {
    printf '{"type":"%s","detail":"%s"}' "$1" "$(printf '%s\n' "$2" | json_text)"
}

# Until told to stop, which it does between two reports, so that none comes after the result. A service that does not answer does not stop the work; one that says that the order is gone does.
keep_telling() {
    lost=
    trap 'exit 0' TERM
    while :; do
        nap 5 &
        wait $!
        fact_body alive "$(what_now)" > "$T/alive"
        request POST facts "$T/alive" "$T/alive.answer"
        case $CODE in
        2*)
            [ -z "$lost" ] || say "the service is back"
            lost=
            ;;
        409) switch_off "the order is not this machine's any more" ;;
        *)
            [ -n "$lost" ] || say "the service does not take reports ($CODE); the work goes on"
            lost=yes
            ;;
        esac
    done
}

# What is being done, with how far it is in the place of an @.
what_now() {
    case $(cat "$T/doing") in
    *@*) sed "s/@/$(how_far)/" "$T/doing" ;;
    *) cat "$T/doing" ;;
    esac
}

# From curl's progress meter: percent, or what has come when the whole is not known.
how_far() {
    tr '\r' '\n' < "$T/meter" 2>/dev/null |
        awk 'NF >= 12 && $1 ~ /^[0-9]+$/ {p = $1; got = $4} END {print ((p + 0) ? p " %" : (got == "" ? 0 : got) " bytes")}'
}
