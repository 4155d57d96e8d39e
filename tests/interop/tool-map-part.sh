#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-part.sh - --offset and --length cut a map and change nothing else.
source "$(dirname "$0")/../functions.sh"

make_seed_images

part()
{
    "$STRATA" map "$tmp/overlay.qcow2" "$@" | awk 'NR > 1 { $1 = $1; print }'
}

assert_eq '1000 1047576 data 2 base.qcow2
1048576 1000 zero 0 -' "$(part --offset 1000 --length 0x100000)" "a part at odd places"
assert_eq '2097152 1024 data 1 overlay.qcow2' "$(part --offset 2M --length 1k)" "a part inside"
assert_eq '9437184 1048576 zero 0 -' "$(part --offset 9M --length 1G)" "a part that ends beyond"
assert_eq '' "$(part --offset 10M)" "nothing, at the end"
assert_eq '' "$(part --offset 1M --length 0)" "nothing, in the middle"
assert_fails_with 'strata: --offset 0xa00001 is beyond the end of the image at 0xa00000' \
    "$STRATA" map --offset 10485761 "$tmp/overlay.qcow2"
