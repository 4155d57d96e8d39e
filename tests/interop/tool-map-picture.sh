#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-picture.sh - the picture has a bar for each layer.
source "$(dirname "$0")/../functions.sh"

make_seed_images
picture()
{
    COLUMNS=65 "$STRATA" map --picture "$@"
}

# 40 cells for 10 MiB: four to the MiB.
assert_eq 'overlay.qcow2 ........####....0000....................
base.qcow2 ####....................................' \
    "$(picture "$tmp/overlay.qcow2" | awk '/qcow2/ { $1 = $1; print }')" "bars in ASCII"
assert_eq 'base.qcow2 ████····································' \
    "$(LC_ALL=C.UTF-8 picture "$tmp/overlay.qcow2" | awk '/base/ { $1 = $1; print }')" \
    "a bar in UTF-8"
picture "$tmp/overlay.qcow2" | grep -q '# data  + some data  0 zero  . not here' ||
    fail "there is no legend"

# Of a server that does not tell layers: by depth.
start_qemu_nbd "$tmp/q" -f qcow2 "$tmp/overlay.qcow2"
assert_eq 'depth 1 ........####....0000....................
depth 2 ####....................................' \
    "$(picture "$(nbd_uri "$tmp/q")" | awk '/depth/ { print $1, $2, $3 }')" "bars by depth"
