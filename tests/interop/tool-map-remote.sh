#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-remote.sh - a map over NBD shows as much as the server tells.
source "$(dirname "$0")/../functions.sh"

make_seed_images
words()
{
    awk '{ $1 = $1; print }'
}
local_map=$("$STRATA" map "$tmp/overlay.qcow2" | words)

# strata-nbd tells all of it.
start_strata_nbd "$tmp/s" --image-opts \
    "driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=$tmp/overlay.qcow2"
assert_eq "$local_map" "$("$STRATA" map "$(nbd_uri "$tmp/s")" | words)" "map from strata-nbd"
assert_eq '2097152 1048576 data 1 overlay.qcow2' \
    "$("$STRATA" map --offset 2M --length 1M "$(nbd_uri "$tmp/s")" | words | tail -n +2)" \
    "part of a map from strata-nbd"

# qemu-nbd -A tells content and depth.
start_qemu_nbd "$tmp/q" -f qcow2 "$tmp/overlay.qcow2"
assert_eq "$(awk 'NR > 1 { $5 = "-" } { print }' <<<"$local_map")" \
    "$("$STRATA" map "$(nbd_uri "$tmp/q")" | words)" "map from qemu-nbd"

# nbdkit tells the content.
start_nbdkit "$tmp/n" data '@0x100000 1 * 65536' size=2M
assert_eq 'start length content depth layer
0 1048576 zero - -
1048576 65536 data - -
1114112 983040 zero - -' "$("$STRATA" map "$(nbd_uri "$tmp/n")" | words)" "map from nbdkit"

# A server with no context at all has no map.
start_nbdkit "$tmp/no" --no-sr null size=1M
assert_fails_with 'no map of it' "$STRATA" map "$(nbd_uri "$tmp/no")"
