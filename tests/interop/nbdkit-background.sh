#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-background.sh - relative file names hold when nbdkit goes to the background and to "/".
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdcopy qemu-img qemu-io

make_seed_images
mkdir "$tmp/sub" "$tmp/other"
mv "$tmp/overlay.qcow2" "$tmp/sub"
mv "$tmp/base.qcow2" "$tmp/other"
cd "$tmp/sub"
qemu-img rebase -u -f qcow2 -b ../other/base.qcow2 -F qcow2 overlay.qcow2

serve()
{
    nbdkit --unix "$tmp/s" --pidfile "$tmp/pid" "$STRATA_PLUGIN" allow=../other "$@"
    wait_until "the pid file" test -s "$tmp/pid"
    daemon=$(<"$tmp/pid")
    cleanup_fn stop_process "$daemon"
    assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
        0   1M  0
        1M  1M  3
        2M  1M  0
        3M  7M  3
END
    assert_eq 10485760 "$(nbdcopy "$(nbd_uri "$tmp/s")" - | wc -c)" "bytes copied"
    kill "$daemon"
    wait_until "nbdkit to end" process_is_gone "$daemon"
    rm "$tmp/s" "$tmp/pid" # nbdkit leaves both behind
}

serve overlay.qcow2
serve file=./overlay.qcow2 format=qcow2
serve spec=driver=qcow2,file.driver=file,file.filename=overlay.qcow2
serve 'spec=json:{"driver":"qcow2","file":{"driver":"file","filename":"overlay.qcow2"}}'
