#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# locks-readers-share.sh - readers keep nobody from reading: two servers of strata's, nbdkit, the tool
# and QEMU's readers, all on the same files at once, whoever comes first.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-io qemu-nbd nbdkit nbdinfo

make_seed_images
make_seed_content "$tmp/content.raw"

start_qemu_nbd "$tmp/q1" -f qcow2 "$tmp/overlay.qcow2"
start_strata_nbd "$tmp/s1" "$tmp/overlay.qcow2"
start_strata_nbd "$tmp/s2" "$tmp/overlay.qcow2"
start_nbdkit "$tmp/k" "$STRATA_PLUGIN" "$tmp/overlay.qcow2"
start_qemu_nbd "$tmp/q2" -f qcow2 "$tmp/base.qcow2"

"$STRATA" map "$tmp/overlay.qcow2" >/dev/null
qemu-img convert -f qcow2 -O raw "$tmp/overlay.qcow2" "$tmp/converted.raw"
cmp "$tmp/converted.raw" "$tmp/content.raw"
for socket in q1 s1 s2; do
    qemu-img compare -f raw -F raw "$(nbd_uri "$tmp/$socket")" "$tmp/content.raw" >/dev/null
done
nbdinfo --size "$(nbd_uri "$tmp/k")" >/dev/null
# An overlay that is written to shares its backing files with readers.
qemu-img create -q -f qcow2 -b overlay.qcow2 -F qcow2 "$tmp/new.qcow2"
qemu-io -f qcow2 -c 'write -q 0 64k' "$tmp/new.qcow2"
