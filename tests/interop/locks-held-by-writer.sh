#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# locks-held-by-writer.sh - a graph of which a writer holds any file is refused: the message says
# which file, what the writer does, and what opens it all the same.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-nbd qemu-storage-daemon nbdinfo

truncate -s 4M "$tmp/base.raw"
qemu-img create -q -f qcow2 -b base.raw -F raw "$tmp/overlay.qcow2"
qemu-img create -q -f qcow2 -o data_file="$tmp/data.raw" "$tmp/image.qcow2" 4M

start_writer()
{
    start_process qemu-nbd -f "$1" --persistent --socket="$tmp/w" --pid-file="$tmp/w.pid" "$2"
    wait_for_pid_file "$tmp/w.pid"
}

stop_writer()
{
    stop_process "$server_pid" || true
    rm -f "$tmp/w" "$tmp/w.pid"
}

shared()
{
    echo "json:{\"driver\":\"qcow2\",\"force-share\":true,\"file\":{\"filename\":\"$tmp/$1\"}}"
}

# assert_held FORMAT FILE TOP: opening TOP is refused while somebody writes to FILE.
assert_held()
{
    local words="$tmp/$2.*somebody else writes to it \\(\"write\"\\).*--force-share.*force-share"

    start_writer "$1" "$tmp/$2"
    assert_fails_with "$words" "$STRATA" map "$tmp/$3"
    assert_fails_with "$words" "$STRATA_NBD" --socket "$tmp/s" "$tmp/$3"
    "$STRATA" map "$(shared "$3")" >/dev/null
    "$STRATA_NBD" --force-share --run true "$tmp/$3"
    stop_writer
    "$STRATA" map "$tmp/$3" >/dev/null
}

assert_held qcow2 overlay.qcow2 overlay.qcow2
assert_held raw base.raw overlay.qcow2
assert_held qcow2 image.qcow2 image.qcow2
assert_held raw data.raw image.qcow2

# What is opened later, a snapshot, shares as the graph does in which it was found.
qemu-img snapshot -c 'then' "$tmp/overlay.qcow2"
start_writer qcow2 "$tmp/overlay.qcow2"
start_strata_nbd "$tmp/s" --image-opts \
    "driver=raw,force-share=on,file.driver=qcow2,file.node-name=q,file.file.filename=$tmp/overlay.qcow2"
nbdinfo --size "$(nbd_uri "$tmp/s" @q:then)" >/dev/null
stop_process "$server_pid"
stop_process "${started_pids[-2]}" || true
rm -f "$tmp/w" "$tmp/w.pid"

# A machine's disk: a storage daemon that has the image open to write.
start_process qemu-storage-daemon --pidfile "$tmp/d.pid" \
    --blockdev "driver=qcow2,node-name=n,file.driver=file,file.filename=$tmp/overlay.qcow2" \
    --nbd-server "addr.type=unix,addr.path=$tmp/d" --export type=nbd,id=e,node-name=n,writable=on
wait_for_pid_file "$tmp/d.pid"
assert_fails_with "$tmp/overlay.qcow2.*writes to it" "$STRATA" map "$tmp/overlay.qcow2"
assert_fails_with 'expected on, off or auto' \
    "$STRATA" map --image-opts "driver=qcow2,file.filename=$tmp/overlay.qcow2,file.locking=never"
"$STRATA" map --image-opts "driver=qcow2,file.filename=$tmp/overlay.qcow2,file.locking=off" >/dev/null
