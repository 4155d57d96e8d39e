#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-compressed-in-images.sh - a compressed image as the file of a compressed image reads as QEMU
# reads it.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
seq 1 300000 >source.raw
truncate -s 3M source.raw
qemu-img convert -c -f raw -O qcow2 -o cluster_size=64k source.raw outer.qcow2
cp outer.qcow2 outer.raw

# assert_nested OPTIONS: outer.qcow2, kept in an image of that kind
assert_nested()
{
    local spec='driver=qcow2,file.driver=qcow2,file.file.driver=file,file.file.filename=inner.qcow2'

    qemu-img convert -c -f raw -O qcow2 -o "$1" outer.raw inner.qcow2
    qemu-img convert --image-opts -O raw "$spec" theirs.raw
    cmp -n 3145728 theirs.raw source.raw || fail "QEMU reads something else: $1"
    "$STRATA_NBD" --image-opts --run 'nbdcopy "$uri" ours.raw' "$spec"
    cmp ours.raw theirs.raw || fail "content differs: $1"
    rm -f ours.raw theirs.raw inner.qcow2
}

assert_nested cluster_size=512
assert_nested cluster_size=64k,compression_type=zstd
assert_nested cluster_size=2M
