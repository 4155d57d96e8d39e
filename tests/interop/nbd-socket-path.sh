#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-socket-path.sh - a busy socket, a file or a long path is refused; a stale socket is replaced.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
sock=$tmp/s

start_strata_nbd "$sock" "$image"
first=$server_pid
assert_fails_with "cannot listen on '$sock': the socket is busy" "$STRATA_NBD" -k "$sock" "$image"
assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$sock")")" "the first server still serves"

kill -KILL "$first"
wait "$first" || true
[[ -S $sock ]] || fail "the killed server's socket should still be there"
rm -f "$sock.pid"
start_strata_nbd "$sock" "$image"
assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$sock")")" "a stale socket is replaced"
stop_process "$server_pid"
[[ ! -e $sock ]] || fail "the socket was not removed"

echo precious >"$tmp/file"
assert_fails_with "cannot listen on '$tmp/file': it exists and is not a socket; choose another path$" \
    "$STRATA_NBD" -k "$tmp/file" "$image"
assert_eq precious "$(cat "$tmp/file")" "the file in the way"
long=$tmp/$(printf 'x%.0s' {1..120})
assert_fails_with "the socket path '$long' is [0-9]+ bytes long, but 107 are the system's limit" \
    "$STRATA_NBD" -k "$long" "$image"
assert_fails_with "cannot listen on '$tmp/no/s': .*No such file" "$STRATA_NBD" -k "$tmp/no/s" "$image"

# As long as can be, and relative.
mkdir -p "$tmp/$(printf 'd%.0s' {1..80})"
cd "$tmp/$(printf 'd%.0s' {1..80})"
exact=$PWD/$(printf 's%.0s' $(seq $((106 - ${#PWD}))))
assert_eq 107 "${#exact}" "length of the path"
start_strata_nbd "$exact" "$image"
assert_eq 10485760 "$(nbdinfo --size "$(nbd_uri "$exact")")" "a path of 107 bytes"
stop_process "$server_pid"
start_strata_nbd s "$image"
assert_eq 10485760 "$(nbdinfo --size "nbd+unix:///?socket=s")" "a relative path"
stop_process "$server_pid"
assert_eq '' "$(ls -A)" "files left behind"
