#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-bitmap.sh - "strata map --bitmap" prints what a dirty bitmap says: of a chain on this
# machine, through a window, and of a server.
source "$(dirname "$0")/../functions.sh"
require_tool jq

cd "$tmp"
qemu-img create -q -f qcow2 base.qcow2 10M
qemu-img bitmap --add -g 64k base.qcow2 daily
qemu-img bitmap --add base.qcow2 clean
qemu-io -f qcow2 -c 'write -q 1M 64k' -c 'write -q 3M 1M' base.qcow2
qemu-img bitmap --clear base.qcow2 clean
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2 16M

lines()
{
    awk 'NR > 1 { print $1, $2, $3 }'
}

expected='0 1048576 clean
1048576 65536 dirty
1114112 2031616 clean
3145728 1048576 dirty
4194304 12582912 clean'
assert_eq "$expected" "$("$STRATA" map --bitmap daily overlay.qcow2 | lines)" "through the chain"
assert_eq '0 16777216 clean' "$("$STRATA" map --bitmap clean overlay.qcow2 | lines)" "a clean one"
assert_eq '   start    length  bitmap' "$("$STRATA" map --bitmap daily overlay.qcow2 | head -n 1)" head
assert_eq '[[0,1048576,false],[1048576,65536,true],[1114112,2031616,false],[3145728,1048576,true],[4194304,12582912,false]]' \
    "$("$STRATA" map --json --bitmap daily overlay.qcow2 |
        jq -c 'map([.offset, .length, .dirty])')" JSON
assert_eq '["dirty","length","offset"]' \
    "$("$STRATA" map --json --bitmap daily overlay.qcow2 | jq -c '.[0] | keys')" "keys of JSON"

window=driver=raw,offset=1M,size=4M,file.driver=qcow2,file.file.filename=overlay.qcow2
assert_eq '0 65536 dirty
65536 2031616 clean
2097152 1048576 dirty
3145728 1048576 clean' "$("$STRATA" map --bitmap daily --image-opts "$window" | lines)" "a window"
assert_eq '2000000 97152 clean
2097152 2848 dirty' "$("$STRATA" map --bitmap daily --offset 2000000 --length 100000 \
    --image-opts "$window" | lines)" "a part"

# Servers: ours for the chain, QEMU's for the image that has it.
start_strata_nbd "$tmp/s" overlay.qcow2
assert_eq "$expected" "$("$STRATA" map --bitmap daily "$(nbd_uri "$tmp/s")" | lines)" strata-nbd
assert_eq '0 16777216 clean' "$("$STRATA" map --bitmap above:overlay.qcow2 "$(nbd_uri "$tmp/s")" |
    lines)" "the name of a layer"
start_qemu_nbd "$tmp/q" -f qcow2 --bitmap daily base.qcow2
assert_eq "$(sed '$s/12582912/6291456/' <<<"$expected")" \
    "$("$STRATA" map --bitmap daily "$(nbd_uri "$tmp/q")" | lines)" qemu-nbd

# None of that name, and what does not go together.
assert_fails_with "no dirty bitmap 'weekly'; those that it has: 'daily', 'clean'" \
    "$STRATA" map --bitmap weekly overlay.qcow2
assert_fails_with "no dirty bitmap 'weekly' .*lists: .*'daily'" \
    "$STRATA" map --bitmap weekly "$(nbd_uri "$tmp/s")"
for option in --picture --leaf; do
    assert_fails_with 'bitmap does not go together with' \
        "$STRATA" map --bitmap daily "$option" overlay.qcow2
done

# One that its writer has not closed says nothing.
cp base.qcow2 torn.qcow2
start_process qemu-nbd --socket="$tmp/v" --pid-file="$tmp/v.pid" --persistent -f qcow2 torn.qcow2
wait_for_pid_file "$tmp/v.pid"
nbdsh -u "$(nbd_uri "$tmp/v")" -c 'h.pwrite(b"x" * 65536, 0)'
kill -KILL "$server_pid"
wait_until "the writer's end" process_is_gone "$server_pid"
assert_fails_with "torn.qcow2.*'daily' is in use" "$STRATA" map --bitmap daily torn.qcow2
