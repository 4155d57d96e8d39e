#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-compressed-status.sh - a compressed cluster is data of its layer, whatever is in it, and
# strata:joint and "strata map" say that it is compressed; an overlay's plain clusters hide it.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
qemu-img create -q -f qcow2 base.qcow2 1M
qemu-io -f qcow2 -c 'write -q -c -P 0 0 64k' -c 'write -q -c -P 7 64k 128k' \
    -c 'write -q -P 8 256k 64k' base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-io -f qcow2 -c 'write -q -P 9 128k 64k' -c 'write -q -c -P 10 512k 64k' top.qcow2
start_strata_nbd "$tmp/s" --format=qcow2 top.qcow2
uri=$(nbd_uri "$tmp/s")

assert_map "$uri" base:allocation <<'END'
0    192K 0
192K 64K  3
256K 64K  0
320K 192K 3
512K 64K  0
576K 448K 3
END
assert_map "$uri" qemu:allocation-depth <<'END'
0    128K 2
128K 64K  1
192K 64K  0
256K 64K  2
320K 192K 0
512K 64K  1
576K 448K 0
END
# Bits: 2 claimed, 3 compressed; from 8 on the layer, 1 top and 2 base.
assert_map "$uri" strata:joint <<'END'
0    128K 524   # 2 << 8 | 8 | 4
128K 64K  260
192K 64K  3
256K 64K  516
320K 192K 3
512K 64K  268
576K 448K 3
END
assert_eq '0 131072 data,compressed 2 base.qcow2
131072 65536 data 1 top.qcow2
196608 65536 zero 0 -
262144 65536 data 2 base.qcow2
327680 196608 zero 0 -
524288 65536 data,compressed 1 top.qcow2
589824 458752 zero 0 -' \
    "$("$STRATA" map top.qcow2 | awk 'NR > 1 { $1 = $1; print }')" 'strata map'
