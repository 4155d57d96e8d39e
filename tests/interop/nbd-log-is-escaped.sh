#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-log-is-escaped.sh - what the library warns of is in the log once, with or without --verbose, and
# no name of a file, a node, a snapshot or an export writes lines of its own into it.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img nbdinfo
image=$tmp/$'im\nage \e[31m.qcow2'
qemu-img create -q -f qcow2 "$image" 1M
qemu-img snapshot -c $'snap\nshot\e[31m' "$image"

is_logged()
{
    nbdinfo --map=base:allocation "$(nbd_uri "$tmp/s" $'x%0Ay')" >"$tmp/out"
    grep -q 'changed while it is open' "$server_log"
}

for verbose in '' --verbose; do
    start_strata_nbd "$tmp/s" ${verbose:+"$verbose"} -x $'x\ny' "$image"
    touch -d @1 "$image"
    wait_until "the warning that the file changed" is_logged
    node=$(nbdinfo --list --json "$(nbd_uri "$tmp/s")" | jq -r '.exports[1]."export-name"' | tail -n 1)
    nbdinfo --size "$(nbd_uri "$tmp/s" "x%0A$node:1")" >"$tmp/out"
    nbdinfo --size "$(nbd_uri "$tmp/s" "x%0A$node:snap%0Ashot%1B%5B31m")" >"$tmp/out"
    stop_process "$server_pid"
    assert_eq 1 "$(grep -c 'changed while it is open' "$server_log")" "warnings in the log"
    assert_eq '' "$(grep -av '^strata-nbd: ' "$server_log" || true)" "lines that are no messages"
    assert_eq '' "$(LC_ALL=C tr -d '\n -\176' <"$server_log")" "control characters in the log"
    touch "$image" # so that the next round has a change to see
done
grep -qF 'serves "x\ny@im_age___31m.qcow2:1"' "$server_log" || fail "the log does not tell the export: $(cat "$server_log")"
