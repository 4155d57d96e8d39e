#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-snapshot-exports.sh - the endpoint of contexts= serves internal snapshots as @NODE:SNAPSHOT;
# also when nbdkit has gone into the background since, where relative names lead nowhere, and when
# the files have other names by now.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
make_seed_images
qemu-img snapshot -c before overlay.qcow2
qemu-io -f qcow2 -c 'write -q 7M 1M' overlay.qcow2
nbdkit --unix "$tmp/n" --pidfile "$tmp/n.pid" "$STRATA_PLUGIN" overlay.qcow2 contexts=unix:c
cleanup_fn sh -c "kill \$(cat '$tmp/n.pid')"
mv overlay.qcow2 moved.qcow2
mv base.qcow2 moved-base.qcow2

# The image itself, too, was opened by names that are gone.
assert_map "$(nbd_uri "$tmp/n")" base:allocation <<'END'
0 1M 0
1M 1M 3
2M 1M 0
3M 4M 3
7M 1M 0
8M 2M 3
END
for snapshot in 1 before; do
    assert_map "$(nbd_uri "$tmp/c" "@overlay.qcow2:$snapshot")" qemu:allocation-depth <<'END'
0 1M 2
1M 1M 0
2M 1M 1
3M 1M 0
4M 1M 1
5M 5M 0
END
done

# A writer is kept out of what was opened, as long as anybody has it open.
assert_fails_with 'lock' qemu-io -f qcow2 -c 'write 0 64k' moved.qcow2
assert_fails_with 'lock' qemu-io -f qcow2 -c 'write 0 64k' moved-base.qcow2
