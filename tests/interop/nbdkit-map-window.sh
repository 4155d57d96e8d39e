#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-map-window.sh - a raw window with an offset moves the map and the layers' views alike.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo qemu-img qemu-io

make_seed_images
cd "$tmp"
start_nbdkit "$tmp/s" "$STRATA_PLUGIN" \
    'spec=json:{"driver":"raw","offset":65536,"node-name":"window","file":{"driver":"qcow2",
                "file":{"driver":"file","filename":"overlay.qcow2"}}}'

assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
    0        983040   0
    983040   1M       3
    2031616  1M       0
    3080192  7340032  3
END
assert_map "$(nbd_uri "$tmp/s" above@base.qcow2)" base:allocation <<END
    0        2031616  3
    2031616  1M       0
    3080192  1M       3
    4128768  1M       2
    5177344  5242880  3
END
