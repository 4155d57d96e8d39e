#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# locks-block-device.sh - locks are taken and respected on block devices, too.
source "$(dirname "$0")/../functions.sh"
require_tool losetup qemu-io qemu-nbd

as_root=()
[[ $(id -u) -eq 0 ]] || as_root=(sudo -n)

truncate -s 4M "$tmp/disk.raw"
device=$("${as_root[@]}" losetup --find --show "$tmp/disk.raw")
detach()
{
    "${as_root[@]}" losetup --detach "$device"
}
cleanup_fn detach
[[ -w $device ]] || "${as_root[@]}" chown "$(id -u)" "$device"

start_strata_nbd "$tmp/s" -f raw "$device"
assert_fails_with 'Failed to get "write" lock' qemu-io -f raw -c 'write -q 0 512' "$device"
stop_process "$server_pid"
qemu-io -f raw -c 'write -q 0 512' "$device"

start_process qemu-nbd -f raw --persistent --socket="$tmp/w" --pid-file="$tmp/w.pid" "$device"
wait_for_pid_file "$tmp/w.pid"
assert_fails_with "$device.*somebody else writes to it.*--force-share" "$STRATA" map -f raw "$device"
stop_process "$server_pid" || true
"$STRATA" map -f raw "$device" >/dev/null
