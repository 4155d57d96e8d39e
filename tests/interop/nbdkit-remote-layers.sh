#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-remote-layers.sh - layers behind another server are layers here: only@ and above@ show what
# they supply; the image from there down is that server's to show.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
make_seed_images
start_strata_nbd "$tmp/s" overlay.qcow2
qemu-img create -q -f qcow2 local.qcow2 10M
qemu-io -f qcow2 -c 'write -q -P 0x33 6M 1M' local.qcow2
node=driver=nbd,server.type=unix,server.path=$tmp/s,node-name=far
start_nbdkit "$tmp/n" "$STRATA_PLUGIN" \
    spec="driver=qcow2,file.filename=local.qcow2,backing.${node//,/,backing.}"

assert_eq '
@local.qcow2
@far
only@local.qcow2
only@far/overlay.qcow2
only@far/base.qcow2
above@local.qcow2
above@far
above@far/overlay.qcow2
above@far/base.qcow2' "$(nbdinfo --list --json "$(nbd_uri "$tmp/n")" |
    jq -r '.exports[]."export-name"')" "exports"

assert_map "$(nbd_uri "$tmp/n" only@far%2Foverlay.qcow2)" base:allocation <<'END'
0 2M 3
2M 1M 0
3M 1M 3
4M 1M 2
5M 5M 3
END
assert_map "$(nbd_uri "$tmp/n" only@far%2Fbase.qcow2)" base:allocation <<'END'
0 1M 0
1M 9M 3
END
assert_map "$(nbd_uri "$tmp/n" above@far%2Fbase.qcow2)" base:allocation <<'END'
0 2M 3
2M 1M 0
3M 1M 3
4M 1M 2
5M 1M 3
6M 1M 0
7M 3M 3
END

# Map and content agree.
nbdcopy "$(nbd_uri "$tmp/n" above@far%2Fbase.qcow2)" above.raw
truncate -s 10M expected.raw
for range in '2 \042' '6 \063'; do
    read -r at byte <<<"$range"
    head -c 1M /dev/zero | tr '\0' "$byte" | dd of=expected.raw bs=1M seek="$at" conv=notrunc status=none
done
cmp expected.raw above.raw
nbdcopy "$(nbd_uri "$tmp/n" @far)" far.raw
make_seed_content seed.raw
cmp seed.raw far.raw

assert_fails_with '' nbdinfo "$(nbd_uri "$tmp/n" @far%2Fbase.qcow2)"
grep -q "far/base.qcow2' is a layer of another server" "$server_log" || fail "$(cat "$server_log")"
