#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-shared-and-persistent.sh - -e limits clients and ends with the last, unless -t; as qemu-nbd.
source "$(dirname "$0")/../functions.sh"
make_seed_images
image=$tmp/overlay.qcow2
sock=$tmp/s
uri=$(nbd_uri "$sock")

start_strata_nbd "$sock" -r -A -e 1 "$image"
nbdinfo --list "$uri" >/dev/null # ends in the handshake, so does not count
process_is_gone "$server_pid" && fail "-e 1 ended before a client entered transmission"
nbdinfo --size "$uri" >/dev/null
wait_until "the end after the last client" process_is_gone "$server_pid"
status=0
wait "$server_pid" || status=$?
assert_eq 0 "$status" "status"
[[ ! -e $sock && ! -e $sock.pid ]] || fail "files were left behind"

for options in '-e 2 -t' '-e 0' ''; do
    # shellcheck disable=SC2086
    start_strata_nbd "$sock" -v $options "$image"
    for number in 1 2 3; do
        nbdinfo --size "$uri" >/dev/null || fail "'$options' should serve on"
        wait_until "the end of client $number" grep -q "connection $number: closed" "$server_log"
    done
    process_is_gone "$server_pid" && fail "'$options' should serve on"
    stop_process "$server_pid"
done

# Only a server for one tells its clients not to open several connections; nbdcopy would hang.
for clients in 1:false 2:true 0:true; do
    start_strata_nbd "$sock" -t -e "${clients%:*}" "$image"
    assert_eq "${clients#*:}" "$(nbdinfo --json "$uri" | jq '.exports[0].can_multi_conn')" \
        "multi-conn with -e ${clients%:*}"
    stop_process "$server_pid"
done
timeout 20 "$STRATA_NBD" -e 1 --run "nbdcopy \"\$uri\" $tmp/copy" "$image"
cmp "$tmp/copy" <(make_seed_content "$tmp/content" && cat "$tmp/content")

# The second client waits in the queue until the first has left.
start_strata_nbd "$sock" -v -e 1 -t "$image"
mkfifo "$tmp/hold"
exec 3<>"$tmp/hold" # for reading too, so that it opens without the other end
"$(command -v nbdsh)" -u "$uri" -c "open('$tmp/hold').readline()" 3>&- &
holder=$!
started_pids+=("$holder")
wait_until "the first client" grep -q 'connection 1: serves' "$server_log"
nbdinfo --size "$uri" >"$tmp/size" 3>&- &
waiter=$!
started_pids+=("$waiter")
echo go on >&3
wait "$holder"
wait "$waiter"
assert_eq 10485760 "$(cat "$tmp/size")" "the second client's turn"
wait_until "the second client in the log" grep -q 'connection 2: accepted' "$server_log"
assert_eq "connection 1: closed
connection 2: accepted" "$(grep -oE 'connection (1: closed|2: accepted)' "$server_log")" \
    "who comes after whom"
