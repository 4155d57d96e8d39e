#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-info.sh - "strata info" prints the graph, and what a server tells.
source "$(dirname "$0")/../functions.sh"
require_tool jq

make_seed_images
window=driver=raw,node-name=win,offset=64k,file.driver=qcow2
window+=,file.file.driver=file,file.file.filename=$tmp/overlay.qcow2

nodes=$("$STRATA" info --json --image-opts "$window" |
    jq -r '.nodes[] | "\(.level) \(.role) \(.driver) \(.name) \(.layer) \(.parent) \(.filename)"')
assert_eq "0 null raw win null null null
1 file qcow2 overlay.qcow2 1 win null
2 file file overlay.qcow2-file null overlay.qcow2 $tmp/overlay.qcow2
1 backing qcow2 base.qcow2 2 overlay.qcow2 null
2 file file base.qcow2-file null base.qcow2 $tmp/base.qcow2" "$nodes" "nodes"

text=$("$STRATA" info --image-opts "$window")
grep -q "^raw 'win', 9.9 MiB (10420224 bytes)$" <<<"$text" || fail "$text"
grep -q "^    backing: qcow2 'base.qcow2', layer 2, 10 MiB (10485760 bytes)$" <<<"$text" ||
    fail "$text"
grep -q "cluster-size: 65536 (64 KiB)" <<<"$text" || fail "$text"

# A server: what it exports, its layers, its contexts.
start_strata_nbd "$tmp/s" --description 'a sample' "$tmp/overlay.qcow2"
json=$("$STRATA" info --json "$(nbd_uri "$tmp/s")")
assert_eq '["a sample",10485760,["overlay.qcow2","base.qcow2"]]' \
    "$(jq -c '[.description, .size, .layers]' <<<"$json")" "description, size, layers"
assert_eq 'true' "$(jq '(.flags | index("read-only")) != null and
    (.contexts | index("strata:joint")) != null and
    any(.exports[]; .name == "@base.qcow2")' <<<"$json")" "flags, contexts, exports"
"$STRATA" info "$(nbd_uri "$tmp/s")" | grep -q '^description: a sample$' || fail "no description"
"$STRATA" info "$(nbd_uri "$tmp/s")" | grep -A1 '^block-size:$' | grep -q '^  m' || fail "no block size"

# A server that does not tell its block sizes.
start_nbdkit "$tmp/n" memory 1M
if "$STRATA" info "$(nbd_uri "$tmp/n")" | grep block-size; then
    fail "a heading with nothing below it"
fi
assert_eq false "$("$STRATA" info --json "$(nbd_uri "$tmp/n")" | jq 'has("block-size")')" "JSON"
