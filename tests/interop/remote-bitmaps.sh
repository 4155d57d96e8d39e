#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-bitmaps.sh - the dirty bitmaps of a server are those of the leaf: listed, passed on through
# windows, and asked for only when somebody wants them.
source "$(dirname "$0")/../functions.sh"

qemu-img create -q -f qcow2 "$tmp/disk.qcow2" 10M
qemu-img bitmap --add -g 65536 "$tmp/disk.qcow2" monday
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' -c 'write -q -P 2 2M 64k' "$tmp/disk.qcow2"
qemu-img bitmap --add -g 65536 "$tmp/disk.qcow2" tuesday
qemu-io -f qcow2 -c 'write -q -P 3 9M 1M' "$tmp/disk.qcow2"
start_qemu_nbd "$tmp/q" -B monday -B tuesday -f qcow2 "$tmp/disk.qcow2"
uri=$(nbd_uri "$tmp/s")

start_strata_nbd "$tmp/s" "$(nbd_uri "$tmp/q")"
contexts=$(nbdinfo --list --json "$uri" | grep -o 'qemu:dirty-bitmap:[a-z]*day' | sort -u | xargs)
assert_eq 'qemu:dirty-bitmap:monday qemu:dirty-bitmap:tuesday' "$contexts" "listed bitmaps"
assert_map "$uri" qemu:dirty-bitmap:monday <<'END'
0       1M      1
1M      1M      0
2M      64K     1
2162688 7274496 0
9M      1M      1
END
assert_map "$uri" qemu:dirty-bitmap:tuesday <<'END'
0   9M  0
9M  1M  1
END
stop_process "$server_pid"

# Through a window, and over two machines.
start_strata_nbd "$tmp/w" --image-opts \
    "driver=raw,offset=512k,size=2M,file.driver=nbd,file.path=$tmp/q"
start_strata_nbd "$tmp/t" "$(nbd_uri "$tmp/w")"
assert_map "$(nbd_uri "$tmp/t")" qemu:dirty-bitmap:monday <<'END'
0       512K   1
512K    1M     0
1536K   64K    1
1600K   448K   0
END

# Maps that a strata-nbd computes from its layers (above:) stand among its bitmaps, and are none.
for socket in q w; do
    "$STRATA" info --image-opts "driver=raw,file.driver=nbd,file.path=$tmp/$socket" >"$tmp/info"
    for name in monday tuesday; do
        grep -q "$name" "$tmp/info" ||
            fail "strata info does not list bitmap $name: $(cat "$tmp/info")"
    done
    if grep -q 'above:' "$tmp/info"; then
        fail "strata info takes what is computed for a bitmap: $(cat "$tmp/info")"
    fi
done
