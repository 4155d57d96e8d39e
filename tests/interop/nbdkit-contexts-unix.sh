#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-contexts-unix.sh - contexts=unix:PATH answers every context, in the foreground and as a
# daemon with relative names; the socket goes when nbdkit goes; clients are limited in number.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdinfo nbdsh qemu-img qemu-io

spec=spec=driver=raw,file.driver=qcow2,file.file.driver=file,file.file.filename=overlay.qcow2

# check_layers SOCKET-OF-CONTEXTS SOCKET-OF-NBDKIT
check_layers()
{
    assert_map "$(nbd_uri "$1")" qemu:allocation-depth <<END
        0   1M  2
        1M  1M  0
        2M  1M  1
        3M  1M  0
        4M  1M  1
        5M  5M  0
END
    assert_map "$(nbd_uri "$1")" strata:layer <<END
        0   1M  2
        1M  1M  0
        2M  1M  1
        3M  1M  0
        4M  1M  1
        5M  5M  0
END
    assert_map "$(nbd_uri "$1" @base.qcow2)" qemu:allocation-depth <<END
        0   1M  1
        1M  9M  0
END
    assert_map "$(nbd_uri "$2")" base:allocation <<END
        0   1M  0
        1M  1M  3
        2M  1M  0
        3M  7M  3
END
}

make_seed_images
cd "$tmp"

start_nbdkit "$tmp/one" "$STRATA_PLUGIN" "$spec" contexts=unix:"$tmp/layers"
check_layers "$tmp/layers" "$tmp/one"
stop_process "$server_pid" || fail "nbdkit ended with status $?"
[[ ! -e $tmp/layers ]] || fail "the socket of contexts= is left behind"

nbdkit --unix "$tmp/two" --pidfile "$tmp/pid" "$STRATA_PLUGIN" "$spec" contexts=unix:layers
wait_until "the pid file" test -s "$tmp/pid"
daemon=$(<"$tmp/pid")
cleanup_fn stop_process "$daemon"
check_layers "$tmp/layers" "$tmp/two"
kill "$daemon"
wait_until "nbdkit to end" process_is_gone "$daemon"
[[ ! -e $tmp/layers ]] || fail "the socket of contexts= is left behind by the daemon"

# A client that is still connected does not keep nbdkit from ending.
start_nbdkit "$tmp/three" "$STRATA_PLUGIN" "$spec" contexts=unix:layers
start=$SECONDS
nbdsh -u "$(nbd_uri "$tmp/layers")" -c - <<END
import os, signal
os.kill($server_pid, signal.SIGTERM)
h.poll(20000)
END
wait_until "nbdkit to end" process_is_gone "$server_pid"
[[ $((SECONDS - start)) -lt 15 ]] || fail "it took $((SECONDS - start)) seconds to end"
[[ ! -e $tmp/layers ]] || fail "the socket of contexts= is left behind with a client"

# It leaves descriptors to nbdkit, and speaks of no options that nbdkit does not have.
start_nbdkit "$tmp/four" "$STRATA_PLUGIN" "$spec" contexts=unix:crowded
python3 - "$tmp/crowded" <<'END'
import socket, sys
crowd = [socket.socket(socket.AF_UNIX) for _ in range(257)]
for client in crowd:
    client.settimeout(30)
    client.connect(sys.argv[1])
    greeting = client.recv(18)
    assert (greeting == b"") == (client is crowd[-1]), f"{crowd.index(client)}: {greeting}"
END
grep -q 'turned away: there are 256 connections already$' "$server_log" || fail "the log: $(<"$server_log")"
stop_process "$server_pid" || fail "nbdkit ended with status $?"

# While --run's command runs, both are there.
nbdkit --unix - "$STRATA_PLUGIN" "$spec" contexts=unix:layers \
    --run "nbdinfo --map=qemu:allocation-depth 'nbd+unix:///?socket=$tmp/layers'" >"$tmp/out"
assert_eq '0 1048576 2' "$(head -1 "$tmp/out" | tr -s ' ' | cut -d ' ' -f 2-4)" "the first extent"
wait_until "the socket to go" test ! -e "$tmp/layers"
