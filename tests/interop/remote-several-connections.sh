#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-several-connections.sh - a server that allows it is asked by several connections when there
# is work for them, and by as many as "connections" says; another by one.
source "$(dirname "$0")/../functions.sh"

truncate -s 256M "$tmp/disk"
dd if=/dev/urandom of="$tmp/disk" bs=1M count=64 conv=notrunc status=none

# count_connections OPTIONS NBDKIT_ARG...: copies over a server, and prints how many connections
# nbdkit's log filter has seen.
count_connections()
{
    local options=$1
    shift

    rm -f "$tmp"/n "$tmp"/s "$tmp"/n.pid "$tmp"/s.pid "$tmp/log" "$tmp/copy"
    start_nbdkit "$tmp/n" --filter=log --filter=delay "$@" logfile="$tmp/log" rdelay=5ms
    start_strata_nbd "$tmp/s" --image-opts \
        "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=$tmp/n$options"
    nbdcopy "$(nbd_uri "$tmp/s")" "$tmp/copy"
    cmp "$tmp/disk" "$tmp/copy" || fail "the copy differs"
    grep -c 'Connect' "$tmp/log"
    stop_process "$server_pid" || true
}

# nbdkit's file plugin allows multi-conn; eval does not by itself.
count=$(count_connections '' file "$tmp/disk")
assert_eq 4 "$count" "connections to a server that allows several"
count=$(count_connections ,file.connections=2 file "$tmp/disk")
assert_eq 2 "$count" "connections=2"
count=$(count_connections ,file.connections=1 file "$tmp/disk")
assert_eq 1 "$count" "connections=1"
count=$(count_connections '' --filter=multi-conn file "$tmp/disk" multi-conn-mode=disable)
assert_eq 1 "$count" "connections to a server that does not allow several"

# Whoever asks for one thing after the other needs one.
rm -f "$tmp/n" "$tmp/n.pid" "$tmp/log"
start_nbdkit "$tmp/n" --filter=log file "$tmp/disk" logfile="$tmp/log"
"$STRATA" map "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"path\":\"$tmp/n\"}}" >/dev/null
assert_eq 1 "$(grep -c 'Connect' "$tmp/log")" "connections of strata map"
