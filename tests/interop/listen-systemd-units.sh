#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# listen-systemd-units.sh - the units are what systemd can read, are rated as docs/strata-security.pod
# tells, and what they start serves.
source "$(dirname "$0")/../functions.sh"
require_tool systemd-analyze systemd-socket-activate meson jq
units=$BUILDDIR/server/systemd

# As installed, but for the program: it is the one that was built. An instance has a name.
mkdir "$tmp/units"
for name in strata-nbd.service strata-nbd.socket strata-nbd@.service strata-nbd@.socket; do
    sed -e "s|^ExecStart=[^ ]*|ExecStart=$STRATA_NBD|" "$units/$name" >"$tmp/units/${name/@/@disk}"
done
systemd-analyze verify --man=no --recursive-errors=no "$tmp"/units/* >"$tmp/verify" 2>&1 ||
    fail "systemd does not take the units: $(cat "$tmp/verify")"
! grep 'strata-nbd' "$tmp/verify" || fail "systemd has something to say of the units"

# So are the drop-ins of strata-nbd(8), which replace the command.
awk -v dir="$tmp/units/strata-nbd.service.d" '
    /^=head1 /    { wanted = $2 == "SYSTEMD" }
    /^ \[Service\]/ { if (wanted) file = dir "/" ++n ".conf" }
    /^$/          { file = "" }
    file != ""    { sub(/^ /, ""); print > file }' n=0 <(mkdir "$tmp/units/strata-nbd.service.d"; cat "$SRCDIR/docs/strata-nbd.pod")
assert_eq 3 "$(ls "$tmp/units/strata-nbd.service.d" | wc -l)" "drop-ins of the page"
for dropin in "$tmp"/units/strata-nbd.service.d/*; do
    grep '^ExecStart=.*/strata-nbd' "$dropin" | sed 's/^ExecStart=[^ ]* //' >>"$tmp/commands"
    sed -i "s|^ExecStart=/[^ ]*|ExecStart=$STRATA_NBD|" "$dropin"
done
systemd-analyze verify --man=no --recursive-errors=no "$tmp/units/strata-nbd.service" >"$tmp/verify" 2>&1 ||
    fail "systemd does not take the drop-ins: $(cat "$tmp/verify")"
! grep 'strata-nbd' "$tmp/verify" || fail "systemd has something to say of the drop-ins"

# It can fail:
sed -i 's/^Type=.*/Type=nonsense/' "$tmp/units/strata-nbd@disk.service"
assert_fails_with 'Failed to parse service type, ignoring: nonsense' \
    systemd-analyze verify --man=no --recursive-errors=no "$tmp/units/strata-nbd@disk.service"

# rating UNIT: as in "0.4 SAFE".
rating()
{
    systemd-analyze security --offline=true --no-pager "$1" |
        sed -n 's/.*exposure level for [^:]*: \([0-9.]* [A-Z]*\).*/\1/p'
}

told=$(tr '\n' ' ' <"$SRCDIR/docs/strata-security.pod" |
    sed -n 's/.*systemd-analyze security[^ ]* [^ ]* rates it \([0-9.]* [A-Z]*\).*/\1/p')
assert_eq "$told" "$(rating "$units/strata-nbd.service")" "the rating in strata-security(7)"
assert_eq "$told" "$(rating "$units/strata-nbd@.service")" "the rating of an instance"
! systemd-analyze security --offline=true --no-pager --threshold=1 "$units/strata-nbd.service" \
    >"$tmp/rated" || fail "no rating is too bad"

# They are installed.
meson introspect --installed "$BUILDDIR" >"$tmp/installed"
for name in strata-nbd strata-nbd@; do
    for kind in service socket; do
        jq -e --arg name "$name.$kind" 'to_entries | any(.value | endswith("/" + $name))' \
            "$tmp/installed" >/dev/null || fail "$name.$kind is not installed"
    done
done

# The command of the service, with a socket as its socket unit makes it.
make_seed_images
sed "s|^image = .*|image = $tmp/overlay.qcow2|" "$SRCDIR/docs/strata-nbd.conf" >"$tmp/strata-nbd.conf"
jq -e 'to_entries | any(.value | endswith("/doc/strata/examples/strata-nbd.conf"))' "$tmp/installed" \
    >/dev/null || fail "the example is not installed"
read -r -a words < <(sed -n 's/^ExecStart=//p' "$units/strata-nbd.service")
assert_eq "strata-nbd --config=/etc/strata-nbd.conf" "${words[0]##*/} ${words[*]:1}" "ExecStart"
start_process systemd-socket-activate --listen "$tmp/s" "$STRATA_NBD" \
    "${words[@]:1}" --config="$tmp/strata-nbd.conf"
wait_until "the socket" test -S "$tmp/s"
assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$tmp/s" disk)")" "the size of the export"
