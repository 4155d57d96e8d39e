#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# limits-options.sh - what the options about limits take, and what they refuse.
source "$(dirname "$0")/../functions.sh"

truncate -s 1M "$tmp/image.raw"

refuses()
{
    local words=$1
    shift

    assert_fails_with "$words" "$STRATA_NBD" "$@" "$tmp/image.raw"
}

for option in max-connections max-connections-per-peer; do
    refuses "--$option takes a number of connections from 0 to 2147483647, not '-1'" "--$option=-1"
done
for option in handshake-timeout idle-timeout stop-timeout; do
    refuses "--$option takes a number of seconds from 0 to 2147483647, not '1m'" "--$option=1m"
done
refuses "--max-requests takes a number of requests from 1 to 1024, not '0'" --max-requests=0
refuses "--max-requests takes a number of requests from 1 to 1024, not '1025'" --max-requests=1025
refuses "--busy-poll takes a number of microseconds from 0 to 100000, not '1ms'" --busy-poll=1ms
refuses "--busy-poll takes a number of microseconds from 0 to 100000, not '100001'" --busy-poll=100001
for size in '' -1 1T 1MB 9223372036854775808 9007199254740992K; do
    refuses "--max-bytes takes a number of bytes, as in 64M, not '$size'" "--max-bytes=$size"
done

for option in --max-connections=0 --max-connections-per-peer=0 --handshake-timeout=0 \
    --idle-timeout=2147483647 --max-requests=1024 --max-bytes=0 --max-bytes=1 --max-bytes=64k \
    --max-bytes=1G --stop-timeout=0 --stop-timeout=2147483647 --busy-poll=0 --busy-poll=100000; do
    size=$("$STRATA_NBD" -f raw "$option" --run 'nbdinfo --size "$uri"' "$tmp/image.raw")
    assert_eq 1048576 "$size" "served with $option"
done
