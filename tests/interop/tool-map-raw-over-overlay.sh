#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-raw-over-overlay.sh - the table of docs/resolving.md, by "strata map".
source "$(dirname "$0")/../functions.sh"

make_seed_images

window=driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=$tmp/overlay.qcow2
expected='start length content depth layer
0 1048576 data 2 base.qcow2
1048576 1048576 zero 0 -
2097152 1048576 data 1 overlay.qcow2
3145728 1048576 zero 0 -
4194304 1048576 zero 1 overlay.qcow2
5242880 5242880 zero 0 -'

map=$("$STRATA" map --image-opts "$window" | awk '{ $1 = $1; print }')
assert_eq "$expected" "$map" "map of raw over overlay"

# Without the raw node the map is the same.
map=$("$STRATA" map "$tmp/overlay.qcow2" | awk '{ $1 = $1; print }')
assert_eq "$expected" "$map" "map of overlay"

# With an offset, each boundary is 64 KiB lower.
expected='start length content depth layer
0 983040 data 2 base.qcow2
983040 1048576 zero 0 -
2031616 1048576 data 1 overlay.qcow2
3080192 1048576 zero 0 -
4128768 1048576 zero 1 overlay.qcow2
5177344 5242880 zero 0 -'
map=$("$STRATA" map --image-opts "$window,offset=64k" | awk '{ $1 = $1; print }')
assert_eq "$expected" "$map" "map of a raw window at 64 KiB"
