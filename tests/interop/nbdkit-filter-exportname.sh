#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-filter-exportname.sh - a layer as the default export, and block sizes by another filter.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo jq qemu-img qemu-io

make_seed_images
start_nbdkit "$tmp/s" --filter=exportname --filter=blocksize-policy "$STRATA_PLUGIN" \
    "$tmp/overlay.qcow2" default-export=only@base.qcow2 \
    blocksize-minimum=512 blocksize-error-policy=error
assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
    0   1M  0
    1M  9M  3
END
assert_eq 512 "$(nbdinfo --json "$(nbd_uri "$tmp/s")" | jq '.exports[0].block_size_minimum')" \
    "minimum block size"
