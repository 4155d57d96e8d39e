#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-map-layers.sh - only@NODE and above@NODE: data 0, claimed zeros 2, all else 3.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo qemu-img qemu-io

make_seed_images
cd "$tmp"
start_nbdkit "$tmp/s" "$STRATA_PLUGIN" \
    spec=driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=overlay.qcow2

for export in only@overlay.qcow2 above@base.qcow2; do
    assert_map "$(nbd_uri "$tmp/s" "$export")" base:allocation <<END
        0   2M  3
        2M  1M  0
        3M  1M  3
        4M  1M  2
        5M  5M  3
END
done
assert_map "$(nbd_uri "$tmp/s" only@base.qcow2)" base:allocation <<END
    0   1M  0
    1M  9M  3
END
for export in above@overlay.qcow2 above@overlay.qcow2-raw; do
    assert_map "$(nbd_uri "$tmp/s" "$export")" base:allocation <<END
        0  10M  3
END
done

# The views have the image's size, @NODE its own.
qemu-img create -q -f qcow2 -b overlay.qcow2 -F qcow2 top.qcow2 12M
start_nbdkit "$tmp/t" "$STRATA_PLUGIN" top.qcow2
for export in "" only@base.qcow2 above@base.qcow2; do
    assert_eq 12582912 "$(nbdinfo --size "$(nbd_uri "$tmp/t" "$export")")" "size of '$export'"
done
assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$tmp/t" @base.qcow2)")" "size of @base.qcow2"

# Past the end of a short layer that layer claims zeros.
assert_map "$(nbd_uri "$tmp/t" only@overlay.qcow2)" base:allocation <<END
    0    2M  3
    2M   1M  0
    3M   1M  3
    4M   1M  2
    5M   5M  3
    10M  2M  2
END
