#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-compressed-equal-qemu.sh - images that qemu-img compresses, of every kind and cluster size,
# give the same bytes and the same maps as from QEMU, to one client and to many small requests at
# once. An image over another, and one written over since, too.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
# Text, zeros, what does not compress and so is stored as it is, and a size that ends in a cluster.
qemu-img create -q -f raw source.raw 7000576
(seq 1 200000 || true) | head -c 1200000 | dd of=source.raw conv=notrunc bs=64k seek=1 status=none
/usr/bin/python3 -c 'import random, sys
random.seed(1)
sys.stdout.buffer.write(random.randbytes(500000))' |
    dd of=source.raw conv=notrunc bs=64k seek=40 status=none
(yes strata || true) | head -c 600000 | dd of=source.raw conv=notrunc bs=64k seek=96 status=none
seq 7 7 90000 | tail -c 100000 | dd of=source.raw conv=notrunc bs=1 seek=6900576 status=none
n=0

# assert_same_maps IMAGE: depth, and what is zero, as qemu-nbd says.
assert_same_maps()
{
    local context ours theirs

    n=$((n + 1))
    start_strata_nbd "$tmp/s$n" --format=qcow2 "$1"
    ours=$server_pid
    start_qemu_nbd "$tmp/q$n" -f qcow2 "$1"
    theirs=$server_pid
    for context in base:allocation qemu:allocation-depth; do
        assert_eq "$(map_of "$(nbd_uri "$tmp/q$n")" $context)" \
            "$(map_of "$(nbd_uri "$tmp/s$n")" $context)" "$context of $1 ($2)"
    done
    stop_process "$ours" || true
    stop_process "$theirs" || true
}

# assert_same IMAGE WHAT
assert_same()
{
    rm -f ours.raw theirs.raw
    qemu-img convert -f qcow2 -O raw "$1" theirs.raw
    "$STRATA_NBD" --format=qcow2 --run 'qemu-img convert -f raw -O raw "$uri" ours.raw' "$1"
    cmp ours.raw theirs.raw || fail "qemu-img reads other bytes: $2"
    assert_same_maps "$1" "$2"
}

# assert_small_reads IMAGE WHAT: less than a cluster each, several at once, on several connections
assert_small_reads()
{
    "$STRATA_NBD" --format=qcow2 --run \
        'nbdcopy --request-size=4096 --connections=4 --requests=8 "$uri" small.raw' "$1"
    cmp small.raw source.raw || fail "nbdcopy reads other bytes: $2"
}

# assert_compresses OPTIONS
assert_compresses()
{
    rm -f image.qcow2 overlay.qcow2
    qemu-img convert -c -f raw -O qcow2 -o "$1" source.raw image.qcow2
    qemu-img check image.qcow2 | grep -q '[1-9].*% compressed clusters' ||
        fail "qemu-img compressed nothing: $1"
    assert_same image.qcow2 "$1"
    cmp theirs.raw source.raw || fail "the image does not hold its source: $1"
    assert_small_reads image.qcow2 "$1"
    # Written over in the middle of what is compressed, and compressed where nothing was.
    qemu-io -f qcow2 -c 'write -q -P 1 100k 70k' -c 'write -q -z 3M 300k' \
        -c 'discard -q 320k 128k' -c 'write -q -c -P 2 4M 2M' -c 'write -q -P 3 6994944 5632' \
        image.qcow2
    assert_same image.qcow2 "$1, written over"
    qemu-img create -q -f qcow2 -b image.qcow2 -F qcow2 -o "$1" overlay.qcow2
    qemu-io -f qcow2 -c 'write -q -c -P 4 0 2M' -c 'write -q -P 5 4000k 100k' overlay.qcow2
    assert_same overlay.qcow2 "$1, an overlay"
}

for size in 512 4k 64k 2M; do
    assert_compresses "cluster_size=$size"
    assert_compresses "cluster_size=$size,compression_type=zstd"
done
assert_compresses 'compat=0.10'
assert_compresses 'extended_l2=on,cluster_size=16k'
assert_compresses 'extended_l2=on,compression_type=zstd'
