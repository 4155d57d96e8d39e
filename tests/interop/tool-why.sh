#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-why.sh - "strata why" tells the walk for one offset.
source "$(dirname "$0")/../functions.sh"
require_tool jq

make_seed_images
window=driver=raw,node-name=win,offset=64k,file.driver=qcow2
window+=,file.file.driver=file,file.file.filename=$tmp/overlay.qcow2

text=$("$STRATA" why --image-opts "$window" 0x1000)
grep -q "1\. raw 'win' at 0x1000 .* forwards to its file child 'overlay.qcow2' at 0x11000$" \
    <<<"$text" || fail "$text"
grep -q "2\. qcow2 'overlay.qcow2' at 0x11000 .* forwards to its backing child 'base.qcow2' at" \
    <<<"$text" || fail "$text"
grep -q "^Layer 2, 'base.qcow2', supplies it (depth 2): data, at .* in $tmp/base.qcow2\.$" \
    <<<"$text" || fail "$text"
"$STRATA" why "$tmp/overlay.qcow2" 1M | grep -q '^Nobody supplies it (depth 0): zero\.$' ||
    fail "an offset that nobody supplies"
"$STRATA" why "$tmp/overlay.qcow2" 4M |
    grep -q "^Layer 1, 'overlay.qcow2', supplies it (depth 1): zero" || fail "a zero cluster"

# The result is what the map says, and one step claims.
json=$("$STRATA" why --json "$tmp/overlay.qcow2" 2M)
assert_eq '["overlay.qcow2"]' "$(jq -c '[.steps[] | select(.claims) | .node]' <<<"$json")" "claim"
assert_eq "$("$STRATA" map --json --offset 2M --length 1 "$tmp/overlay.qcow2" | jq -c ".[0] | del(.length)")" \
    "$(jq -c ".result | del(.length)" <<<"$json")" "result of why and map"

assert_fails_with 'strata: offset 0xa00000 is not within the image' \
    "$STRATA" why "$tmp/overlay.qcow2" 10M
assert_fails_with 'needs an image on this machine' "$STRATA" why nbd://localhost 0
