#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-damage.sh - a range that cannot be told, or lies past the end of its file, is shown as such,
# and the map goes on behind it.
source "$(dirname "$0")/../functions.sh"
require_tool jq

# With 512-byte clusters an L2 table maps 32 KiB. The third entry of the L1 table leads outside the
# file.
qemu-img create -q -f qcow2 -o cluster_size=512 "$tmp/image.qcow2" 256K
qemu-io -f qcow2 -c 'write -q -P 1 0 256K' "$tmp/image.qcow2"
l1=$((16#$(dd if="$tmp/image.qcow2" bs=1 skip=40 count=8 status=none | od -An -tx1 | tr -d ' ')))
printf '\x80\x00\x00\x00\x7f\x00\x00\x00' |
    dd of="$tmp/image.qcow2" bs=1 seek=$((l1 + 16)) conv=notrunc status=none

check()
{
    local status=0 map

    map=$("$STRATA" map "$@" 2>"$tmp/stderr") || status=$?
    assert_eq 1 "$status" "exit status"
    grep -q '^strata: 1 of the ranges cannot be told or read' "$tmp/stderr" || fail "$(cat "$tmp/stderr")"
    assert_eq '0 65536 data
65536 32768 error
98304 163840 data' "$(awk 'NR > 1 { print $1, $2, $3 }' <<<"$map")" "map of $*"
}

check "$tmp/image.qcow2"
{ "$STRATA" map "$tmp/image.qcow2" 2>/dev/null || true; } |
    grep -q 'error.*image.qcow2.*0x7f000000' || fail "the map does not say what is damaged"

# It stays JSON, and the picture shows it.
{ "$STRATA" map --json "$tmp/image.qcow2" 2>/dev/null || true; } >"$tmp/json"
assert_eq '[65536,32768]' "$(jq -c '.[] | select(.error) | [.offset, .length]' "$tmp/json")" "JSON"
{ "$STRATA" map --picture "$tmp/image.qcow2" 2>/dev/null || true; } | grep -q '#!!*#.*' ||
    fail "the picture does not show the damage"

# The same over NBD.
start_strata_nbd "$tmp/s" "$tmp/image.qcow2"
check "$(nbd_uri "$tmp/s")"
{ "$STRATA" map "$(nbd_uri "$tmp/s")" 2>/dev/null || true; } |
    grep -q 'error.* the server cannot tell the range at 0x10000: Input/output error$' ||
    fail "the map does not say what the server cannot tell"

# check_missing MAP PICTURE: of $tmp/image.qcow2, of which a part lies past the end of its file.
check_missing()
{
    local status=0 map

    map=$("$STRATA" map "$tmp/image.qcow2" 2>"$tmp/stderr") || status=$?
    assert_eq 1 "$status" "exit status"
    grep -q '^strata: 1 of the ranges cannot be told or read' "$tmp/stderr" ||
        fail "$(cat "$tmp/stderr")"
    assert_eq "$1" "$(awk 'NR > 1 { print $1, $2, $3 }' <<<"$map")" "map"
    grep -q " error .* the bytes at $missing_at lie past the end of '$tmp/image.qcow2' ($size) and" \
        <<<"$map" || fail "the map does not say what is missing: $map"
    status=0
    "$STRATA" map --json "$tmp/image.qcow2" >"$tmp/json" 2>/dev/null || status=$?
    assert_eq 1 "$status" "exit status with --json"
    assert_eq "$1" "$(jq -r '.[] | "\(.offset) \(.length) \(if .error then "error" elif .zero then
        "zero" else "data" end)"' "$tmp/json")" "map as JSON"
    { "$STRATA" map --picture "$tmp/image.qcow2" 2>/dev/null || true; } | grep -qE "$2" ||
        fail "the picture does not show what is missing"
}

# A copy that was cut short in the middle of a cluster, through one long run.
rm "$tmp/image.qcow2"
qemu-img create -q -f qcow2 "$tmp/image.qcow2" 4M
qemu-io -f qcow2 -c 'write -q -P 1 0 2M' "$tmp/image.qcow2"
assert_eq 327680 "$("$STRATA" map --json "$tmp/image.qcow2" | jq '.[0]["leaf-offset"]')" "data in file"
cp "$tmp/image.qcow2" "$tmp/whole.qcow2"
truncate -s 1000000 "$tmp/image.qcow2"
missing_at=0xf4240 size=0xf4240
check_missing '0 672320 data
672320 1424832 error
2097152 2097152 zero' '#!!!!+\.'

why_missing()
{
    local status=0 last

    last=$("$STRATA" why "$tmp/image.qcow2" 1M 2>"$tmp/stderr" | tail -n 1) || status=$?
    assert_eq 1 "$status" "exit status of strata why"
    assert_eq "Layer 1, 'image.qcow2', supplies it (depth 1), but the bytes at $missing_at lie past the \
end of '$tmp/image.qcow2' ($size) and cannot be read." "$last" "last line of strata why"
    assert_eq "strata: the byte at offset 0x100000 cannot be read" "$(cat "$tmp/stderr")" "stderr"
    { "$STRATA" why --json "$tmp/image.qcow2" 1M 2>/dev/null || true; } |
        jq -e '.result.error | contains("past the end")' >/dev/null || fail "strata why --json"
}
missing_at=0x150000
why_missing
"$STRATA" why "$tmp/image.qcow2" 512k >/dev/null || fail "strata why of what is not missing"

# An L2 entry that leads to 1 TiB: the one of the cluster at 1 MiB.
cp "$tmp/whole.qcow2" "$tmp/image.qcow2"
l2=$((0x40000 + 16 * 8))
printf '\x80\x00\x01\x00\x00\x00\x00\x00' |
    dd of="$tmp/image.qcow2" bs=1 seek=$l2 conv=notrunc status=none
missing_at=0x10000000000 size=$(printf 0x%x "$(stat -c %s "$tmp/image.qcow2")")
check_missing '0 1048576 data
1048576 65536 error
1114112 983040 data
2097152 2097152 zero' '#!+#'
why_missing

# Behind so many fragments that libstrata answers in several pieces, what is missing is one range.
rm "$tmp/image.qcow2"
qemu-img create -q -f qcow2 -o preallocation=metadata "$tmp/image.qcow2" 2G
python3 - "$tmp/image.qcow2" <<'END'
import struct
import sys

CLUSTER, COPIED, TIB = 65536, 1 << 63, 1 << 40
with open(sys.argv[1], "r+b") as image:
    l1_offset, = struct.unpack_from(">Q", image.read(512), 40)
    image.seek(l1_offset)
    tables = [entry & ~COPIED for entry in struct.unpack(">4Q", image.read(32))]
    for number, table in enumerate(tables):
        first = number * 8192
        image.seek(table)
        image.write(struct.pack(">8192Q", *(
            COPIED | TIB + index * CLUSTER if index >= 8192 else
            0 if index % 2 else COPIED | tables[0] + CLUSTER
            for index in range(first, first + 8192))))
END
{ "$STRATA" map "$tmp/image.qcow2" 2>/dev/null || true; } >"$tmp/map"
assert_eq "536870912 1610612736 error" "$(tail -n 1 "$tmp/map" | awk '{ print $1, $2, $3 }')" \
    "the range behind the fragments"
assert_eq 1 "$(grep -c ' error ' "$tmp/map")" "number of missing ranges"
