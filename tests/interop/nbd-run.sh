#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-run.sh - --run serves while a command runs, hands it the URI, and ends with its status.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
mkdir "$tmp/t"
export TMPDIR=$tmp/t

assert_eq 10485760 "$("$STRATA_NBD" --run 'nbdinfo --size "$uri"' "$image")" "size through \$uri"
out=$("$STRATA_NBD" -x "it's a \$HOME & more/é" --run \
    'printf "%s\n" "$exportname"; test -S "$unixsocket"; nbdinfo --size "$uri"; test "$nbd" = "$uri"' \
    "$image")
assert_eq "it's a \$HOME & more/é"$'\n'10485760 "$out" "names that the shell could misread"

# status_of COMMAND: how strata-nbd ends when the command does that.
status_of()
{
    local status=0

    "$STRATA_NBD" --run "$1" "$image" || status=$?
    echo "$status"
}
assert_eq 0 "$(status_of true)" "status"
assert_eq 7 "$(status_of 'exit 7')" "status"
assert_eq 137 "$(status_of 'kill -KILL $$')" "status"
assert_eq 141 "$(status_of 'kill -PIPE $$')" "SIGPIPE is not ignored in the command"

# A signal ends the command first.
start_process "$STRATA_NBD" --pid-file "$tmp/pid" --run "echo \$\$ >$tmp/child; exec sleep 1000" "$image"
wait_until "the command" test -s "$tmp/child"
status=0
stop_process "$server_pid" || status=$?
assert_eq 143 "$status" "status after SIGTERM"
process_is_gone "$(cat "$tmp/child")" || fail "the command outlived the server"

# Its clients' leaving does not, even with -e and without -t.
assert_eq $'10485760\n10485760' "$("$STRATA_NBD" -e 1 --run \
    'nbdinfo --size "$uri" && nbdinfo --size "$uri"' "$image")" "two clients in a row with -e 1"

# An address may be chosen.
assert_eq 10485760 "$("$STRATA_NBD" -p 0 -b 127.0.0.1 --run 'nbdinfo --size "$uri"' "$image")" "TCP"
assert_eq "$tmp/s" "$(cd "$tmp" && "$STRATA_NBD" -k s --run 'cd /; echo "$unixsocket"' "$image")" \
    "the absolute path of a relative socket"
assert_eq "$tmp/s" "$("$STRATA_NBD" -k "$tmp/s" --run 'echo "$unixsocket"' "$image")" "own socket"
assert_eq '' "$(ls -A "$TMPDIR")" "folders left behind"
[[ ! -e $tmp/pid && ! -e $tmp/s ]] || fail "files were left behind"
