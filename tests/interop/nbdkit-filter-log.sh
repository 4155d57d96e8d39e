#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-filter-log.sh - nbdkit's log filter sees every kind of request answered: read, status, cache.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdsh qemu-img qemu-io

make_seed_images
start_nbdkit "$tmp/s" --filter=log "$STRATA_PLUGIN" "$tmp/overlay.qcow2" logfile="$tmp/requests"
nbdsh --base-allocation -u "$(nbd_uri "$tmp/s" only@overlay.qcow2)" -c - <<'END'
assert h.pread(512, 2 << 20) == b"\x22" * 512
assert h.pread(512, 0) == bytes(512)
assert h.can_cache()
h.cache(10 << 20, 0)
answers = []
h.block_status(10 << 20, 0, lambda *args: answers.extend(args[2]))
mega = 1 << 20
assert answers == [2 * mega, 3, mega, 0, mega, 3, mega, 2, 5 * mega, 3], answers
answers = []
h.block_status(8 << 20, 2 << 20, lambda *args: answers.extend(args[2]), nbd.CMD_FLAG_REQ_ONE)
assert answers == [mega, 0], answers
h.shutdown()
END
for what in Read Cache Extents; do
    grep -q " $what " "$tmp/requests" || fail "no $what in the log"
done
! grep -E 'return=-1' "$tmp/requests" || fail "a request failed"
