#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-exports-at-node.sh - NAME@NODE is the image from NODE down, its content and its map.
source "$(dirname "$0")/../functions.sh"
make_seed_images
sock=$tmp/s
start_strata_nbd "$sock" -x vm -D 'the disk' --image-opts \
    "driver=raw,node-name=top,offset=1M,file.driver=qcow2,file.file.driver=file,file.file.filename=$tmp/overlay.qcow2"

listed=$(nbdinfo --list --json "$(nbd_uri "$sock")" |
    jq -r '.exports[] | "\(."export-name") \(."export-size") \(.description)"')
assert_eq 'vm 9437184 the disk
vm@top 9437184 top (raw window) > overlay.qcow2 (qcow2) > base.qcow2 (qcow2)
vm@overlay.qcow2 10485760 overlay.qcow2 (qcow2) > base.qcow2 (qcow2)
vm@base.qcow2 10485760 base.qcow2 (qcow2)' "$listed" "the list of exports"

assert_map "$(nbd_uri "$sock" vm)" qemu:allocation-depth <<'MAP'
0   1M 0
1M  1M 1
2M  1M 0
3M  1M 1
4M  5M 0
MAP
assert_map "$(nbd_uri "$sock" vm@overlay.qcow2)" qemu:allocation-depth <<'MAP'
0   1M 2
1M  1M 0
2M  1M 1
3M  1M 0
4M  1M 1
5M  5M 0
MAP
assert_map "$(nbd_uri "$sock" vm@base.qcow2)" strata:joint <<'MAP'
0   1M 260  # layer 1, claimed
1M  9M 3
MAP
make_seed_content "$tmp/content"
nbdcopy "$(nbd_uri "$sock" vm@overlay.qcow2)" "$tmp/copy"
cmp "$tmp/content" "$tmp/copy"
qemu-img convert -O raw "$tmp/base.qcow2" "$tmp/base.raw"
nbdcopy "$(nbd_uri "$sock" vm@base.qcow2)" "$tmp/copy.base"
cmp "$tmp/base.raw" "$tmp/copy.base"

# The same words where the list is not asked.
for name in 'vm the disk' 'vm@top top (raw window) > overlay.qcow2 (qcow2) > base.qcow2 (qcow2)'; do
    assert_eq "${name#* }" "$(nbdinfo --json "$(nbd_uri "$sock" "${name%% *}")" |
        jq -r '.exports[0].description')" "description of ${name%% *}"
done
for name in '' vm@ vm@nobody @base.qcow2 vm@overlay.qcow2-file vm@base.qcow2@base.qcow2; do
    assert_fails_with 'No such file' nbdinfo --size "$(nbd_uri "$sock" "$name")"
done
