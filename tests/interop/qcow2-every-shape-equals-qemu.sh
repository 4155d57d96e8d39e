#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qcow2-every-shape-equals-qemu.sh - images of every version, cluster size and kind that qemu-img
# makes, with data, zeros and discards in them, read byte for byte as QEMU reads them, and
# qemu-nbd -A tells the same depths.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
qemu-img create -q -f raw base.raw 4M
qemu-io -f raw -c 'write -P 0x11 0 1M' -c 'write -P 0x12 2M 1M' base.raw >/dev/null
backing='backing_file=base.raw,backing_fmt=raw'
n=0

# assert_same OPTIONS SIZE: makes the image, writes to it, and compares.
assert_same()
{
    rm -f image.qcow2 data.raw
    qemu-img create -q -f qcow2 -o "$1" image.qcow2 "$2"
    qemu-io -f qcow2 -c 'write -P 1 0 64k' -c 'write -P 2 1M 200k' -c 'write -z 512k 256k' \
        -c 'write -P 3 2500k 512' -c 'write -z 100k 8k' -c 'write -z -u 2M 128k' \
        -c 'discard 1088k 64k' -c 'write -P 4 2601472 3k' image.qcow2 >/dev/null
    "$STRATA_NBD" --format=qcow2 --run 'qemu-img convert -f raw -O raw "$uri" ours.raw' image.qcow2
    qemu-img convert -f qcow2 -O raw image.qcow2 theirs.raw
    cmp ours.raw theirs.raw || fail "content differs: $1 $2"
    n=$((n + 1))
    start_strata_nbd "$tmp/s$n" --format=qcow2 image.qcow2
    ours=$(map_of "$(nbd_uri "$tmp/s$n")" qemu:allocation-depth)
    stop_process "$server_pid" || true
    start_qemu_nbd "$tmp/q$n" -f qcow2 image.qcow2
    theirs=$(map_of "$(nbd_uri "$tmp/q$n")" qemu:allocation-depth)
    stop_process "$server_pid" || true
    assert_eq "$theirs" "$ours" "depths: $1 $2"
}

for size in 512 4k 64k 2M; do
    assert_same "cluster_size=$size,$backing" 4M
    assert_same "cluster_size=$size" 5000001
done
assert_same "compat=0.10,$backing" 4M
assert_same "extended_l2=on,cluster_size=16k,$backing" 4M
assert_same "extended_l2=on,cluster_size=2M" 4M
assert_same "$backing" 6M
assert_same "$backing" 3M
assert_same 'preallocation=metadata' 4M
assert_same "data_file=data.raw,$backing" 4M
assert_same 'data_file=data.raw,data_file_raw=on' 4M
assert_same 'data_file=data.raw,extended_l2=on' 4M
