#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# locks-writer-is-refused.sh - no file of a served graph can be opened by a writer of QEMU's: not the
# overlay, not an image in the middle, not a raw base (which qemu-nbd leaves unlocked), not a data
# file; and all of them can once the server has gone.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-io qemu-nbd qemu-storage-daemon nbdkit

refusal='Failed to get "(write|resize)" lock'

truncate -s 4M "$tmp/base.raw"
qemu-img create -q -f qcow2 -b base.raw -F raw "$tmp/middle.qcow2"
qemu-img create -q -f qcow2 -o data_file="$tmp/data.raw",data_file_raw=on "$tmp/image.qcow2" 4M
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 "$tmp/overlay.qcow2"

# daemon_writes FORMAT FILE: a storage daemon, as a machine's disk would, opens it to write.
daemon_writes()
{
    echo '{"execute":"qmp_capabilities"}{"execute":"quit"}' |
        qemu-storage-daemon --chardev stdio,id=c --monitor c \
            --blockdev "driver=$1,node-name=n,file.driver=file,file.filename=$2" \
            --nbd-server "addr.type=unix,addr.path=$tmp/daemon.sock" \
            --export "type=nbd,id=e,node-name=n,writable=on"
}

# assert_nobody_writes FORMAT FILE
assert_nobody_writes()
{
    assert_fails_with "$refusal" qemu-io -f "$1" -c 'write -q 0 512' "$2"
    assert_fails_with "$refusal" qemu-nbd -f "$1" --socket="$tmp/writer.sock" "$2"
    assert_fails_with "$refusal" daemon_writes "$1" "$2"
}

# assert_writable FORMAT FILE
assert_writable()
{
    qemu-io -f "$1" -c 'write -q 0 512' "$2"
    daemon_writes "$1" "$2" >/dev/null
}

assert_graph_is_locked()
{
    assert_nobody_writes qcow2 "$tmp/overlay.qcow2"
    assert_nobody_writes qcow2 "$tmp/middle.qcow2"
    assert_nobody_writes raw "$tmp/base.raw"
}

start_strata_nbd "$tmp/s1" "$tmp/overlay.qcow2"
first=$server_pid
assert_graph_is_locked
start_strata_nbd "$tmp/s2" "$tmp/image.qcow2"
assert_nobody_writes qcow2 "$tmp/image.qcow2"
assert_nobody_writes raw "$tmp/data.raw"
stop_process "$server_pid"
assert_writable raw "$tmp/data.raw"
assert_writable qcow2 "$tmp/image.qcow2"
stop_process "$first"

start_nbdkit "$tmp/s3" "$STRATA_PLUGIN" "$tmp/overlay.qcow2"
"$STRATA" info "$tmp/overlay.qcow2" >/dev/null # comes and goes, and takes nobody's locks away
assert_graph_is_locked
stop_process "$server_pid"
assert_writable raw "$tmp/base.raw"
assert_writable qcow2 "$tmp/middle.qcow2"
assert_writable qcow2 "$tmp/overlay.qcow2"
