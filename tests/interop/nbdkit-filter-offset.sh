#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-filter-offset.sh - map and bytes of a part of an image through nbdkit's offset filter.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdcopy qemu-img qemu-io

make_seed_images
make_seed_content "$tmp/expected"
start_nbdkit "$tmp/s" --filter=offset "$STRATA_PLUGIN" "$tmp/overlay.qcow2" offset=512K range=5M
assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
    0      512K   0
    512K   1M     3
    1536K  1M     0
    2560K  2560K  3
END
assert_map "$(nbd_uri "$tmp/s" only@overlay.qcow2)" base:allocation <<END
    0      1536K  3
    1536K  1M     0
    2560K  1M     3
    3584K  1M     2
    4608K  512K   3
END
nbdcopy "$(nbd_uri "$tmp/s")" "$tmp/copy"
cmp <(tail -c +524289 "$tmp/expected" | head -c 5M) "$tmp/copy" || fail "the part differs"
