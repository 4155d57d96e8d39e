#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-stock-clients.sh - nbdinfo, nbdcopy, nbdsh, qemu-img and qemu-io read, copy and map the image.
source "$(dirname "$0")/../functions.sh"
require_tool nbdinfo nbdcopy nbdsh qemu-img qemu-io
make_seed_images
make_seed_content "$tmp/content"
sock=$tmp/s
start_strata_nbd "$sock" "$tmp/overlay.qcow2"
uri=$(nbd_uri "$sock")

for feature in connect read 'read-only' cache df flush multi-conn structured-reply; do
    nbdinfo --can "$feature" "$uri" 2>/dev/null || nbdinfo --is "$feature" "$uri" ||
        fail "nbdinfo says that the server cannot $feature"
done
nbdinfo --can write "$uri" && fail "nbdinfo says that the server can write"

nbdcopy "$uri" "$tmp/nbdcopy.raw"
cmp "$tmp/content" "$tmp/nbdcopy.raw"
nbdcopy --connections=4 --threads=4 --requests=64 --request-size=4096 "$uri" "$tmp/small.raw"
cmp "$tmp/content" "$tmp/small.raw"
qemu-img convert -f raw -O raw "$uri" "$tmp/convert.raw"
cmp "$tmp/content" "$tmp/convert.raw"
qemu-img compare -f raw -F qcow2 "$uri" "$tmp/overlay.qcow2" >/dev/null

assert_eq "$(qemu-img map --output=json -f qcow2 "$tmp/overlay.qcow2" |
    jq -c '[.[] | select(.data) | [.start, .length]]')" \
    "$(qemu-img map --output=json -f raw "$uri" | jq -c '[.[] | select(.data) | [.start, .length]]')" \
    "data ranges that qemu-img map tells"
qemu-io -r -f raw -c 'read -P 0x11 0 1M' -c 'read -P 0 1M 1M' -c 'read -P 0x22 2M 1M' \
    -c 'read -P 0 3M 7M' "$uri" >"$tmp/io"
! grep -i fail "$tmp/io" || fail "qemu-io read other bytes"
nbdsh -u "$uri" -c 'assert h.pread(4, 2 << 20) == b"\x22" * 4' -c 'h.cache(1 << 20, 0); h.flush()'
