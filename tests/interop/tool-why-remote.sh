#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-why-remote.sh - a walk that ends on another machine says which layer over there it ended at,
# and info lists these layers.
source "$(dirname "$0")/../functions.sh"
require_tool jq

cd "$tmp"
make_seed_images
start_strata_nbd "$tmp/s" overlay.qcow2
qemu-img create -q -f qcow2 local.qcow2 10M
node=driver=nbd,server.type=unix,server.path=$tmp/s,node-name=far
opts=driver=qcow2,file.filename=local.qcow2,backing.${node//,/,backing.}

"$STRATA" why --image-opts "$opts" 0 >text
assert_eq "  1. qcow2 'local.qcow2' at 0x0 holds nothing of its own there and forwards to its backing child 'far' at 0x0
  2. nbd 'far' at 0x0 holds the bytes themselves; layer 'far/base.qcow2' over there supplies this range
Layer 3, 'far/base.qcow2', supplies it (depth 3): data, at 0x0 (0) in nbd+unix:///?socket=$tmp/s." \
    "$(tail -n +2 text)" text
assert_eq '[["local.qcow2",false,null],["far",true,"far/base.qcow2"]]' \
    "$("$STRATA" why --json --image-opts "$opts" 0 |
        jq -c '[.steps[] | [.node, .claims, .claimant]]')" JSON
"$STRATA" why --image-opts "$opts" 4M | grep -q \
    "nbd 'far' at 0x400000 says that it reads as zeros there; layer 'far/overlay.qcow2' over there" ||
    fail "zeros over there"
"$STRATA" why --image-opts "$opts" 8M | grep -q "^Nobody supplies it" || fail "nobody"

assert_eq 'nbd far 0
remote far/overlay.qcow2 2
remote far/base.qcow2 3' "$("$STRATA" info --json --image-opts "$opts" |
    jq -r '.nodes[2:][] | "\(.driver) \(.name) \(.layer // 0)"')" "nodes over there"
assert_eq "[\"nbd+unix:///?socket=$tmp/s\",false]" "$("$STRATA" info --json --image-opts "$opts" |
    jq -c '.nodes[2] | [.filename, .details.tls]')" "the server"
