#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-locks.sh - the plugin refuses an image that a writer holds, and opens it with
# force-share=on.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit qemu-img qemu-nbd

qemu-img create -q -f qcow2 "$tmp/image.qcow2" 4M
start_process qemu-nbd -f qcow2 --persistent --socket="$tmp/w" --pid-file="$tmp/w.pid" \
    "$tmp/image.qcow2"
wait_for_pid_file "$tmp/w.pid"
assert_fails_with "$tmp/image.qcow2.*somebody else writes to it.*nbdkit: force-share=" \
    nbdkit --unix "$tmp/s" "$STRATA_PLUGIN" "$tmp/image.qcow2" --run true
nbdkit --unix "$tmp/s" "$STRATA_PLUGIN" "$tmp/image.qcow2" force-share=on --run true
