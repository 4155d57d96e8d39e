#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-json.sh - "strata map --json" is JSON that covers the image and says where the bytes lie.
source "$(dirname "$0")/../functions.sh"
require_tool jq

make_seed_images
json=$("$STRATA" map --json "$tmp/overlay.qcow2")

assert_eq '[10485760,true]' "$(jq -c '
    [(map(.length) | add),
     ([.[:-1], .[1:]] | transpose | all(.[0].offset + .[0].length == .[1].offset))]' <<<"$json")" \
    "size and continuity"
assert_eq '[[0,false,2,"base.qcow2",2],[1048576,true,0,null,0],[2097152,false,1,"overlay.qcow2",1]]' \
    "$(jq -c '[.[:3][] | [.offset, .zero, .depth, .layer, ."layer-number"]]' <<<"$json")" \
    "the first ranges"

# Where strata says that the bytes lie, there they are; and QEMU says the same place.
while read -r offset length leaf_offset file; do
    cmp <(tail -c +$((offset + 1)) "$tmp/content" | head -c "$length") \
        <(tail -c +$((leaf_offset + 1)) "$file" | head -c "$length")
done < <(
    make_seed_content "$tmp/content"
    jq -r '.[] | select(.zero == false) | "\(.offset) \(.length) \(."leaf-offset") \(."leaf-file")"' \
        <<<"$json"
)
assert_eq "$(qemu-img map --output=json -f qcow2 "$tmp/overlay.qcow2" |
    jq -c '[.[] | select(.data) | [.start, .length, .offset]]')" \
    "$(jq -c '[.[] | select(.zero == false) | [.offset, .length, ."leaf-offset"]]' <<<"$json")" \
    "leaf offsets of strata and QEMU"

# An empty map is an empty array.
assert_eq '[]' "$("$STRATA" map --json --offset 10M "$tmp/overlay.qcow2" | jq -c .)" "empty map"
