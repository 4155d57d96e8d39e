#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-exit-with-parent.sh - --exit-with-parent ends the server, cleanly, when its parent has gone.
source "$(dirname "$0")/../functions.sh"
make_seed_images
sock=$tmp/s

# check_end ARGUMENT...: of the server.
check_end()
{
    local parent server

    start_process bash -c '"$@" & wait' parent "$STRATA_NBD" --exit-with-parent \
        --pid-file "$sock.pid" -k "$sock" "$@" "$tmp/overlay.qcow2"
    parent=$server_pid
    wait_for_pid_file "$sock.pid"
    server=$(cat "$sock.pid")
    started_pids+=("$server")
    assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$sock")")" "size"
    kill -KILL "$parent"
    wait_until "the end of the server" process_is_gone "$server"
}

check_end
[[ ! -e $sock && ! -e $sock.pid ]] || fail "files were left behind"

# The kernel forgets it when the user changes; who may not remove files here.
[[ $(id -u) -ne 0 ]] || check_end --user=nobody
