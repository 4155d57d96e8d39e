#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-contexts-tcp.sh - contexts=tcp:HOST:PORT, with the free port that the verbose log tells.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo qemu-img qemu-io

make_seed_images
start_nbdkit "$tmp/s" --verbose "$STRATA_PLUGIN" "$tmp/overlay.qcow2" contexts=tcp:127.0.0.1:0
uri=$(grep -oE 'all contexts are served at nbd://[^ ]+' "$server_log" | grep -oE 'nbd://.*')
assert_map "$uri" qemu:allocation-depth <<END
    0   1M  2
    1M  1M  0
    2M  1M  1
    3M  1M  0
    4M  1M  1
    5M  5M  0
END

# The port is taken now: a second nbdkit says so and ends.
port=${uri##*:}
assert_fails_with 127.0.0.1 timeout 20 nbdkit -f -U "$tmp/t" "$STRATA_PLUGIN" \
    "$tmp/overlay.qcow2" contexts=tcp:127.0.0.1:"${port%%/*}"
[[ ! -e $tmp/t ]] || fail "nbdkit's own socket is left behind"
