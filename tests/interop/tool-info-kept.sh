#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-info-kept.sh - "strata info" lists what images keep besides their disk: snapshots, bitmaps, and
# how they are encrypted; the same that qemu-img says.
source "$(dirname "$0")/../functions.sh"
require_tool jq

cd "$tmp"
make_seed_images
qemu-img snapshot -c 'before the update' base.qcow2
qemu-img resize -q base.qcow2 12M 2>/dev/null
qemu-img snapshot -c after base.qcow2
qemu-img bitmap --add -g 32k base.qcow2 daily
qemu-img bitmap --add --disable base.qcow2 weekly
# An image whose writer was killed: its bitmap is in use.
qemu-img create -q -f qcow2 killed.qcow2 1M
qemu-img bitmap --add killed.qcow2 torn
start_qemu_nbd_for_writing()
{
    start_process qemu-nbd --socket="$tmp/w" --pid-file="$tmp/w.pid" --persistent -f qcow2 "$1"
    wait_for_pid_file "$tmp/w.pid"
}
start_qemu_nbd_for_writing killed.qcow2
nbdsh -u "$(nbd_uri "$tmp/w")" -c 'h.pwrite(b"x" * 65536, 0)'
kill -KILL "$server_pid"
wait_until "the writer's end" process_is_gone "$server_pid"

# Snapshots, as qemu-img has them.
ours=$("$STRATA" info --json overlay.qcow2 | jq -c '.nodes[] | select(.name == "base.qcow2") |
    .snapshots[] | [.id, .name, (.date | fromdate), ."disk-size", ."vm-state-size",
    ."vm-clock-nsec"]')
theirs=$(qemu-img info --output json base.qcow2 | jq -c '.snapshots[] |
    [.id, .name, ."date-sec", null, ."vm-state-size", ."vm-clock-sec" * 1000000000 + ."vm-clock-nsec"]')
theirs=$(sed -e '1s/null/10485760/' -e '2s/null/12582912/' <<<"$theirs")
assert_eq "$theirs" "$ours" "snapshots"
"$STRATA" info overlay.qcow2 >text
grep -qE "^        - 1 'before the update', 20[0-9-]+T[0-9:]+Z, disk size 10485760 \(10 MiB\)$" text ||
    fail "$(cat text)"

# Bitmaps.
assert_eq '[{"name":"daily","granularity":32768,"enabled":true,"in-use":false},{"name":"weekly","granularity":65536,"enabled":false,"in-use":false}]' \
    "$("$STRATA" info --json overlay.qcow2 |
        jq -c '.nodes[] | select(.name == "base.qcow2") | .bitmaps')" "bitmaps"
grep -q "^        - 'daily', granularity 32768 (32 KiB), enabled$" text || fail "$(cat text)"
grep -q "^        - 'weekly', granularity 65536 (64 KiB), disabled$" text || fail "$(cat text)"
assert_eq true "$("$STRATA" info --json killed.qcow2 | jq '.nodes[0].bitmaps[0]."in-use"')" "in use"
"$STRATA" info killed.qcow2 | grep -q "^        - 'torn', .*, in use: it cannot be trusted$" ||
    fail "an inconsistent bitmap is not told"

# What keeps nothing has no lists.
assert_eq '[false,false]' "$("$STRATA" info --json overlay.qcow2 |
    jq -c '.nodes[0] | [has("snapshots"), has("bitmaps")]')" "an image that keeps nothing"

# Encryption and compression.
printf 'open sesame' >key
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted key "$luks" secret.qcow2 1M
json=$("$STRATA" info --json --object secret,id=s,file=key --image-opts \
    driver=qcow2,encrypt.key-secret=s,file.filename=secret.qcow2)
assert_eq "$(qemu-img info --output json secret.qcow2 |
    jq -r '.["format-specific"].data.encrypt | [.format, .uuid, ."hash-alg"] | @tsv')" \
    "$(jq -r '.nodes[0].details | [."encryption-format", .uuid, .hash] | @tsv' <<<"$json")" \
    "encryption"
qemu-img create -q -f qcow2 -o compression_type=zstd zstd.qcow2 1M
assert_eq zstd "$("$STRATA" info --json zstd.qcow2 |
    jq -r '.nodes[0].details."compression-type"')" "compression"
