#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bench-images.sh - the images that benchmarks are run on are whole, and hold what they are said to:
# qemu-img check finds nothing, QEMU and strata read what stands in the flat image beside them, and
# the same options make the same bytes.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img cmp

cd "$tmp"
make_image="$BUILDDIR/bench/make-image"

# assert_whole SIZE [OPTION]...
assert_whole()
{
    local layer what="make-image --size=$*" size=$1
    shift

    rm -f image*
    "$make_image" --size="$size" --raw "$@" image
    for layer in image*.qcow2; do
        qemu-img check -q "$layer" || fail "$what: qemu-img check finds errors in $layer"
    done
    qemu-img compare -q -f qcow2 -F raw image.qcow2 image.raw || fail "$what: QEMU reads otherwise"
    "$STRATA_NBD" -f qcow2 --run 'qemu-img compare -q -f raw -F raw "$uri" image.raw' image.qcow2 ||
        fail "$what: strata reads otherwise"
}

mixed=(--layers=3 --hidden=30 --zeros=20 --allocated=70)
assert_whole 3333k --cluster=512 --stretch=3 "${mixed[@]}"
assert_whole 6M --shared --layers=2 # some data is pointed to once, some more often
assert_whole 4M --extended --cluster=16k --stretch=2 "${mixed[@]}"
assert_whole 4M --compress=zlib --ratio=2 --cluster=16k "${mixed[@]}"
assert_whole 4M --compress=zstd --ratio=4 "${mixed[@]}"

# Terabytes, where what is scattered over them is little.
"$make_image" --size=4T --shared --layers=2 --stretch=1024 --allocated=0.01 big
qemu-img check -q big.qcow2 && qemu-img check -q big-1.qcow2 ||
    fail 'qemu-img check finds errors in an image of 4 TiB'

"$make_image" --size=8M --layers=2 --seed=7 one
"$make_image" --size=8M --layers=2 --seed=7 two
"$make_image" --size=8M --layers=2 --seed=8 three
cmp one-1.qcow2 two-1.qcow2 || fail 'the same options have made other bytes'
! cmp -s two-1.qcow2 three-1.qcow2 || fail 'another seed has made the same bytes'

assert_fails_with 'a share is from 0 to 100 percent' "$make_image" --zeros=101 bad
assert_fails_with 'a size is no number of bytes' "$make_image" --size=7X bad
assert_fails_with 'the size of a cluster is a power of two' "$make_image" --cluster=65000 bad
assert_fails_with 'compressed clusters have no subclusters' \
    "$make_image" --extended --compress=zlib bad
assert_fails_with '--compress is zlib or zstd' "$make_image" --compress=lzma bad
assert_fails_with 'one name is expected' "$make_image"
[[ ! -e bad.qcow2 ]] || fail 'wrong options have made an image'
