#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox-leaves-the-command-free.sh - the command of --run is not confined, inherits none of the
# server's descriptors, and is ended with the server.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
mkdir "$tmp/t"
export TMPDIR=$tmp/t

# shellcheck disable=SC2016
out=$("$STRATA_NBD" --run '
    sed -n "s/^\(NoNewPrivs\|Seccomp\):\t//p" /proc/self/status
    echo text >"$TMPDIR/written" && cat "$TMPDIR/written" && rm "$TMPDIR/written"
    nbdinfo --size "$uri"
    for fd in /proc/$$/fd/*; do
        target=$(readlink "$fd" || true)
        case $target in *.qcow2 | socket:*) echo "inherits $target" ;; esac
    done' "$image" </dev/null)
before=$(sed -n "s/^\(NoNewPrivs\|Seccomp\):\t//p" /proc/self/status)
assert_eq "$before"$'\ntext\n10485760' "$out" "what the command can do"

# Where the kernel has no Landlock, the server says so.
sandbox=on missing=
if ! (cd "$SRCDIR/tests/interop" && python3 -c 'import sys, sandbox_case as case
sys.exit(not case.HAS_LANDLOCK)'); then
    sandbox=auto
    missing="strata-nbd: sandbox: without Landlock: this kernel has no Landlock, or it is switched off"
fi

# --exit-with-parent and a signal reach it all the same.
start_process "$STRATA_NBD" --pid-file "$tmp/pid" --sandbox="$sandbox" \
    --run "echo \$\$ >$tmp/child; exec sleep 1000" "$image"
wait_until "the command" test -s "$tmp/child"
stop_process "$server_pid" || true
process_is_gone "$(cat "$tmp/child")" || fail "the command outlived the server"
[[ ! -e $tmp/pid ]] || fail "the pid file is left behind"
assert_eq '' "$(ls -A "$TMPDIR")" "what is left behind"
assert_eq "$missing" "$(cat "$server_log")" "the log"

# One that ends at once, before the server watches for it.
for ((i = 0; i < 20; i++)); do
    status=0
    timeout 20 "$STRATA_NBD" --run 'exit 3' "$image" || status=$?
    assert_eq 3 "$status" "the status of a command that is soon over"
done
