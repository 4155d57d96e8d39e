#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# holes-of-every-storage.sh - a hole of the host file is zeros of the layer above it, whatever keeps
# its bytes there: a raw layer, clusters of a qcow2 image, an external data file, an image in an
# image; and the zero clusters of an image in an image are zeros of the outer one.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-io fallocate jq

map()
{
    "$STRATA" map --json "$@" | jq -r '.[] | "\(.offset) \(.length) \(.zero) \(.depth)"'
}

# host_offset FORMAT FILE GUEST_OFFSET: where the bytes lie in the host file.
host_offset()
{
    qemu-img map --output=json -f "$1" "$2" |
        jq ".[] | select(.start <= $3 and $3 < .start + .length) | .offset + $3 - .start"
}

# punch FILE OFFSET LENGTH
punch()
{
    fallocate --punch-hole --offset "$2" --length "$3" "$1"
}

expected="0 1048576 false 1
1048576 1048576 true 1
2097152 2097152 false 1"

head -c 4M /dev/zero | tr '\0' '\132' >"$tmp/raw.img"
punch "$tmp/raw.img" 1M 1M
assert_eq "$expected" "$(map -f raw "$tmp/raw.img")" 'a raw layer'

qemu-img create -q -f qcow2 "$tmp/image.qcow2" 4M
qemu-io -f qcow2 -c 'write -q -P 0x5a 0 4M' "$tmp/image.qcow2"
punch "$tmp/image.qcow2" "$(host_offset qcow2 "$tmp/image.qcow2" 1048576)" 1M
assert_eq "$expected" "$(map -f qcow2 "$tmp/image.qcow2")" 'clusters of a qcow2 image'

qemu-img create -q -f qcow2 -o data_file="$tmp/data.raw" "$tmp/external.qcow2" 4M
qemu-io -f qcow2 -c 'write -q -P 0x5a 0 4M' "$tmp/external.qcow2"
punch "$tmp/data.raw" "$(host_offset qcow2 "$tmp/external.qcow2" 1048576)" 1M
assert_eq "$expected" "$(map -f qcow2 "$tmp/external.qcow2")" 'an external data file'

# The same image in the disk of another one, which has zero clusters where those bytes lie.
qemu-img create -q -f qcow2 "$tmp/inside.qcow2" 4M
qemu-io -f qcow2 -c 'write -q -P 0x5a 0 4M' "$tmp/inside.qcow2"
qemu-img convert -f raw -O qcow2 "$tmp/inside.qcow2" "$tmp/outside.qcow2"
qemu-io -f qcow2 -c "write -q -z $(host_offset qcow2 "$tmp/inside.qcow2" 1048576) 1M" \
    "$tmp/outside.qcow2"
assert_eq "$expected" "$(map "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"qcow2\",
    \"file\":{\"filename\":\"$tmp/outside.qcow2\"}}}")" 'an image in an image'
