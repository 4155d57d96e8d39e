#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-filter-partition.sh - a partition of a disk whose table lies in the backing file.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdcopy qemu-img qemu-io

# A partition entry of an MBR: status, CHS, type 0x83, CHS, first sector, sectors (little-endian).
partition()
{
    printf '\x00\x00\x00\x00\x83\x00\x00\x00'
    printf '%b' "$(printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) 0 0)"
    printf '%b' "$(printf '\\x%02x' $(($2 & 255)) $(($2 >> 8 & 255)) 0 0)"
}

truncate -s 10M "$tmp/disk"
{
    partition 2048 4096
    partition 6144 8192
} | dd of="$tmp/disk" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="$tmp/disk" bs=1 seek=510 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$tmp/disk" "$tmp/base.qcow2"
qemu-io -f qcow2 -c 'write -q -P 0x11 1M 1M' "$tmp/base.qcow2"
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$tmp/overlay.qcow2"
qemu-io -f qcow2 -c 'write -q -P 0x22 3M 1M' -c 'write -q -z 5M 1M' "$tmp/overlay.qcow2"

start_nbdkit "$tmp/one" --filter=partition "$STRATA_PLUGIN" "$tmp/overlay.qcow2" partition=1
assert_map "$(nbd_uri "$tmp/one")" base:allocation <<END
    0   1M  0
    1M  1M  3
END
start_nbdkit "$tmp/two" --filter=partition "$STRATA_PLUGIN" "$tmp/overlay.qcow2" partition=2
assert_map "$(nbd_uri "$tmp/two")" base:allocation <<END
    0   1M  0
    1M  3M  3
END
nbdcopy "$(nbd_uri "$tmp/two")" "$tmp/copy"
cmp <(head -c 1M /dev/zero | tr '\0' '\042'; head -c 3M /dev/zero) "$tmp/copy" ||
    fail "the partition differs"
