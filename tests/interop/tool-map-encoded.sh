#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tool-map-encoded.sh - the map tells what is kept compressed or encrypted: as text, as JSON, in the
# picture, and from a server.
source "$(dirname "$0")/../functions.sh"
require_tool jq

cd "$tmp"
make_seed_images
qemu-img convert -q -f qcow2 -O qcow2 -c base.qcow2 compressed.qcow2
qemu-img create -q -f qcow2 -b compressed.qcow2 -F qcow2 top.qcow2
qemu-io -f qcow2 -c 'write -q 5M 1M' top.qcow2

expected='0 1048576 data,compressed 2 compressed.qcow2
1048576 4194304 zero 0 -
5242880 1048576 data 1 top.qcow2
6291456 4194304 zero 0 -'
lines()
{
    awk 'NR > 1 { print $1, $2, $3, $4, $5 }'
}
assert_eq "$expected" "$("$STRATA" map top.qcow2 | lines)" text
start_strata_nbd "$tmp/s" top.qcow2
assert_eq "$expected" "$("$STRATA" map "$(nbd_uri "$tmp/s")" | lines)" "a server's map"
assert_eq '[true,null,null,null]' "$("$STRATA" map --json top.qcow2 | jq -c 'map(.compressed)')" JSON
assert_eq '["compressed.qcow2",0,null]' "$("$STRATA" map --json top.qcow2 |
    jq -c '.[0] | [.leaf, ."leaf-offset", ."leaf-file"]')" "where it is decoded"
assert_eq 'top.qcow2 ....................####................
compressed.qcow2 cccc....................................
# data + some data 0 zero . not here c compressed' \
    "$(COLUMNS=65 "$STRATA" map --picture top.qcow2 | awk 'NR > 1 { $1 = $1; print }')" picture
"$STRATA" why top.qcow2 0 | grep -q 'in encoded form; it supplies this range' || fail why

printf 'open sesame' >key
opts=driver=qcow2,encrypt.key-secret=s,file.filename=secret.qcow2
luks='-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10'
create_encrypted key "$luks" secret.qcow2 4M
qemu-io --object secret,id=s,file=key -c 'write -q 1M 1M' -c 'write -q -z 2M 1M' --image-opts "$opts"
assert_eq '0 1048576 zero 0 -
1048576 1048576 data,encrypted 1 secret.qcow2
2097152 1048576 zero 1 secret.qcow2
3145728 1048576 zero 0 -' \
    "$("$STRATA" map --object secret,id=s,file=key --image-opts "$opts" | lines)" "an encrypted image"
COLUMNS=65 "$STRATA" map --picture --object secret,id=s,file=key --image-opts "$opts" >picture
grep -q '^secret.qcow2  *\.\{10\}e\{10\}0\{10\}\.\{10\}$' picture || fail "$(cat picture)"
grep -q 'e encrypted' picture || fail "$(cat picture)"
