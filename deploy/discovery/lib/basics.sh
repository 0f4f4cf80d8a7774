# What everything else uses: saying, pausing, switching off, the command line, text as JSON.

say() {
    echo "groundstate-agent: $*"
}

nap() {
    sleep "$1"
}

# What is being done, for the console and for whoever keeps the service informed; "@ of " is how far it is, later.
doing() {
    say "$(echo "$*" | sed 's/@ of //')"
    echo "$*" > "$T/doing"
}

# The value of NAME=VALUE on the kernel's command line.
argument() {
    tr ' ' '\n' < "${CMDLINE:-/proc/cmdline}" | sed -n "s|^$1=||p" | head -n 1
}

# Is this the image? Elsewhere nothing may switch a machine off, set its clock, drop its caches or touch its disks.
in_image() {
    [ -e /etc/groundstate/version ]
}

switch_off() {
    say "switching off: $*"
    in_image || exit 1
    sync
    poweroff -f
    # The kernel takes a moment; nothing else may happen in it.
    while :; do sleep 60; done
}

# After a refusal: a person at the console can read it, and a machine that starts again at once does not hammer.
switch_off_refused() {
    say "REFUSED: $*"
    nap 60
    switch_off "refused"
}

# Text on stdin as the inside of a JSON string: printable ASCII and line ends, nothing else.
json_text() {
    tr -cd '\011\012\040-\176' | sed 's/\\/\\\\/g; s/"/\\"/g' | tr '\011' ' ' | awk 'NR > 1 {printf "\\n"} {printf "%s", $0}'
}

start_again() {
    say "starting again: ${1:-there is nothing to do}"
    in_image || exit 1
    sync
    reboot -f
    while :; do sleep 60; done
}

# The directory for what is kept while running.
make_room() {
    T=${T:-/tmp/agent}
    mkdir -p "$T"
    umask 077
}

# What the command line says.
set_up() {
    VERSION=$(cat "${ETC:-/etc/groundstate}/version" 2>/dev/null || echo unknown)
    API=$(argument gs.api)
    API=${API%/}
    TRUST=
    pin=$(argument gs.pin)
    if [ -n "$pin" ]; then
        # The key is known, so names and dates of the certificate say nothing more.
        TRUST="-k --pinnedpubkey $pin"
    elif [ -n "$(argument gs.ca)" ]; then
        TRUST="--cacert ${ETC:-/etc/groundstate}/ca.pem"
    fi
    printf 'Authorization: Bearer %s\n' "$(argument gs.token)" > "$T/auth"
    say "version $VERSION, order $(argument gs.order), service $API"
}
