#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-map-raw-over-overlay.sh - the plugin's map and bytes of the seed graph: what lies in the
# backing file is data, under a raw window too.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdcopy qemu-img qemu-io

make_seed_images
make_seed_content "$tmp/expected"
cd "$tmp"
start_nbdkit "$tmp/s" "$STRATA_PLUGIN" \
    spec=driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=overlay.qcow2

for export in "" @overlay.qcow2-raw @overlay.qcow2; do
    assert_map "$(nbd_uri "$tmp/s" "$export")" base:allocation <<END
        0   1M  0
        1M  1M  3
        2M  1M  0
        3M  7M  3
END
    nbdcopy "$(nbd_uri "$tmp/s" "$export")" "$tmp/copy"
    cmp "$tmp/expected" "$tmp/copy" || fail "export '$export' differs from the image"
    rm "$tmp/copy"
done

qemu-img convert -f raw -O raw "$(nbd_uri "$tmp/s")" "$tmp/copy"
cmp "$tmp/expected" "$tmp/copy" || fail "qemu-img convert's copy differs from the image"
