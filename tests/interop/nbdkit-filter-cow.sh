#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-filter-cow.sh - behind nbdkit's cow filter an image can be written to and stays as it was.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdsh qemu-img qemu-io

make_seed_images
cd "$tmp"
before=$(sha256sum ./*.qcow2)
start_nbdkit "$tmp/s" --filter=cow "$STRATA_PLUGIN" overlay.qcow2
nbdsh -u "$(nbd_uri "$tmp/s")" -c - <<'END'
h.pwrite(b"\x33" * 1048576, 6 << 20)
h.pwrite(b"\x44" * 512, 512)
h.flush()
assert h.pread(1048576, 6 << 20) == b"\x33" * 1048576
assert h.pread(1536, 0) == b"\x11" * 512 + b"\x44" * 512 + b"\x11" * 512
assert h.pread(1048576, 2 << 20) == b"\x22" * 1048576
END
assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
    0   1M  0
    1M  1M  3
    2M  1M  0
    3M  3M  3
    6M  1M  0
    7M  3M  3
END
assert_eq "$before" "$(sha256sum ./*.qcow2)" "the images after a write through the filter"

# Without the filter nothing can be written.
start_nbdkit "$tmp/r" "$STRATA_PLUGIN" overlay.qcow2
nbdinfo --is read-only "$(nbd_uri "$tmp/r")" || fail "the plugin offers writing"
