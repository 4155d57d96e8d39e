#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-leaf.sh - "strata map --leaf" names the file and the offset in it.
source "$(dirname "$0")/../functions.sh"

truncate -s 3M "$tmp/disk.raw"
printf 'x%.0s' {1..65536} | dd of="$tmp/disk.raw" bs=64k seek=16 conv=notrunc status=none

map=$("$STRATA" map --leaf --format raw "$tmp/disk.raw" | awk '{ $1 = $1; print }')
assert_eq "start length content depth layer at in
0 1048576 zero 1 disk.raw - -
1048576 65536 data 1 disk.raw 1048576 $tmp/disk.raw
1114112 2031616 zero 1 disk.raw - -" "$map" "holes of a host file"
