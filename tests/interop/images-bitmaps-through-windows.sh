#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-bitmaps-through-windows.sh - a bitmap is seen from above with the offsets of who looks:
# through raw windows, from overlays longer and shorter than the image that keeps it, and only as
# far as what stands between lets through.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
# base: 10 MiB, bitmap "b" says 1-2 and 6-7 MiB. overlay: 12 MiB, its own "o" says 3-4 MiB.
qemu-img create -q -f qcow2 base.qcow2 10M
qemu-img bitmap --add -g 64k base.qcow2 b
qemu-img bitmap --add -g 64k base.qcow2 twice
qemu-io -f qcow2 -c 'write -q 1M 1M' -c 'write -q 6M 1M' base.qcow2
qemu-img bitmap --disable base.qcow2 b
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2 12M
qemu-img bitmap --add -g 64k overlay.qcow2 o
qemu-img bitmap --add -g 64k overlay.qcow2 twice
qemu-io -f qcow2 -c 'write -q 3M 1M' overlay.qcow2

n=0
# serve ARG...: a new server; its URI in $uri.
serve()
{
    n=$((n + 1))
    start_strata_nbd "$tmp/s$n" "$@"
    uri=$(nbd_uri "$tmp/s$n")
}

overlay=driver=qcow2,file.filename=overlay.qcow2

# From the overlay: QEMU finds the base's bitmap too, and says the same.
serve --image-opts $overlay
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0   1M  0
1M  1M  1
2M  4M  0
6M  1M  1
7M  5M  0
EOF
start_qemu_nbd "$tmp/q" -f qcow2 -B b overlay.qcow2
assert_eq "$(map_of "$(nbd_uri "$tmp/q")" qemu:dirty-bitmap:b | head -n 4)" \
    "$(map_of "$uri" qemu:dirty-bitmap:b | head -n 4)" "the base's bitmap from the overlay"
assert_map "$uri" qemu:dirty-bitmap:o <<EOF
0   3M  0
3M  1M  1
4M  8M  0
EOF
# Of two bitmaps with one name the topmost is meant.
assert_map "$uri" qemu:dirty-bitmap:twice <<EOF
0   3M  0
3M  1M  1
4M  8M  0
EOF
assert_map "$(nbd_uri "$tmp/s$n" @base.qcow2)" qemu:dirty-bitmap:twice <<EOF
0   1M  0
1M  1M  1
2M  4M  0
6M  1M  1
7M  3M  0
EOF

# A window above: borders lie lower, and within bits.
serve --image-opts "driver=raw,offset=1000k,size=6M,file.driver=qcow2,file.file.filename=overlay.qcow2"
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0       24K     0
24K     1024K   1
1048K   4096K   0
5144K   1000K   1
EOF
assert_map "$uri" qemu:dirty-bitmap:o <<EOF
0       2072K   0
2072K   1024K   1
3096K   3048K   0
EOF

# Two windows above each other.
serve --image-opts "driver=raw,offset=512,size=1M,file.driver=raw,file.offset=1M,file.file.driver=qcow2,file.file.file.filename=overlay.qcow2"
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0        1048064  1
1048064  512      0
EOF

# A window between overlay and base: what it does not show is clean.
serve --image-opts "$overlay,backing.driver=raw,backing.offset=1536k,backing.size=5M,backing.file.driver=qcow2,backing.file.file.filename=base.qcow2"
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0       512K    1
512K    4096K   0
4608K   512K    1
5M      7M      0
EOF

# An overlay shorter than its base.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 short.qcow2 1500K
serve --format=qcow2 short.qcow2
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0       1M      0
1M      476K    1
EOF

# A short image in the middle lets nothing through past its end.
qemu-img create -q -f qcow2 -b short.qcow2 -F qcow2 long.qcow2 8M
serve --format=qcow2 long.qcow2
assert_map "$uri" qemu:dirty-bitmap:b <<EOF
0       1M      0
1M      476K    1
1500K   6692K   0
EOF

# An image in an image: the outer holds what it holds, and the inner's bitmap says nothing of it.
qemu-img create -q -f qcow2 inner.qcow2 10M
qemu-img bitmap --add inner.qcow2 inner
qemu-img create -q -f qcow2 content.qcow2 1M
qemu-img convert -n -f raw -O qcow2 content.qcow2 inner.qcow2
serve --image-opts driver=qcow2,file.driver=qcow2,file.file.filename=inner.qcow2
assert_eq '' "$(nbdinfo --json --list "$uri" | grep -o 'qemu:dirty-bitmap:inner' || true)" \
    "contexts of an image in an image"
serve --image-opts driver=qcow2,file.filename=inner.qcow2
own=$(map_of "$uri" qemu:dirty-bitmap:inner)
[[ $own == *' 1'* ]] || fail "the inner image's own bitmap is clean: $own"
