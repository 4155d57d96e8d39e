#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# block-device-is-a-layer.sh - a block device is an image, a backing file and a window's ground; its
# size is that of the device, and all of it is data.
source "$(dirname "$0")/../functions.sh"
require_tool losetup qemu-img qemu-io nbdcopy cmp

as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo -n)

truncate -s 4M "$tmp/disk.raw"
printf 'at the beginning' | dd of="$tmp/disk.raw" conv=notrunc status=none
device=$("${as_root[@]}" losetup --find --show "$tmp/disk.raw")
detach()
{
    "${as_root[@]}" losetup --detach "$device"
}
cleanup_fn detach
[[ -r $device ]] || "${as_root[@]}" chown "$(id -u)" "$device"

# An image on the device itself; a loop device may not tell its holes.
assert_eq "0 4194304 data 1 layer" \
    "$("$STRATA" map --json --image-opts "driver=raw,node-name=layer,file.filename=$device" |
        jq -r '.[] | "\(.offset) \(.length) \(if .zero then "zero" else "data" end) \(.depth) \(.layer)"')" \
    'map of the device'
"$STRATA_NBD" --run "nbdcopy \"\$uri\" '$tmp/copy.raw'" -f raw "$device"
cmp "$tmp/disk.raw" "$tmp/copy.raw" || fail 'the copy of the device differs'

# An overlay whose backing file is the device: not beneath the overlay's folder, so it is allowed.
qemu-img create -q -f qcow2 -b "$device" -F raw "$tmp/overlay.qcow2"
qemu-io -f qcow2 -c 'write -q -P 7 1M 1M' "$tmp/overlay.qcow2"
assert_fails_with '--allow' "$STRATA" map "$tmp/overlay.qcow2"
assert_eq "0 1048576 2
1048576 1048576 1
2097152 2097152 2" \
    "$("$STRATA" map --json --allow /dev "$tmp/overlay.qcow2" |
        jq -r '.[] | "\(.offset) \(.length) \(.depth)"')" 'map of the overlay'
"$STRATA_NBD" --allow /dev --run "qemu-img compare -f raw -F qcow2 \"\$uri\" '$tmp/overlay.qcow2'" \
    "$tmp/overlay.qcow2" >/dev/null
