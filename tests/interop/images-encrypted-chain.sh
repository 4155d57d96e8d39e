#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-encrypted-chain.sh - an encrypted overlay over an encrypted backing file over a plain one,
# each with a key of its own; a LUKS disk in a qcow2 image; keys for backing files, in every way
# that a graph is named.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
printf 'first' >key0
printf 'second' >key1
objects=(--object 'secret,id=top,file=key1' --object 'secret,id=mid,file=key0')
luks=encrypt.format=luks,encrypt.iter-time=10,encrypt.key-secret=sec0
qemu-img create -q -f qcow2 base.qcow2 4M
qemu-io -f qcow2 -c 'write -q -P 1 0 3M' base.qcow2
create_encrypted key0 "-f qcow2 -u -b base.qcow2 -F qcow2 -o $luks" mid.qcow2 4M
create_encrypted key1 "-f qcow2 -u -b mid.qcow2 -F qcow2 -o $luks" top.qcow2 4M
qemu-io "${objects[@]}" --image-opts -c 'write -q -P 2 1M 2M' \
    driver=qcow2,encrypt.key-secret=mid,file.filename=mid.qcow2
opts=driver=qcow2,encrypt.key-secret=top,file.filename=top.qcow2,backing.encrypt.key-secret=mid
qemu-io "${objects[@]}" --image-opts -c 'write -q -P 3 2M 512k' -c 'write -q -z 2560k 256k' "$opts"

start_strata_nbd "$tmp/s" "${objects[@]}" --image-opts "$opts"
uri=$(nbd_uri "$tmp/s")
assert_map "$uri" qemu:allocation-depth <<'MAP'
0       1M   3
1M      1M   2
2M      768K 1
2816K   256K 2
3M      1M   0
MAP
assert_map "$uri" strata:joint <<'MAP'
0       1M   772 # layer 3, claimed
1M      1M   532 # layer 2, claimed, encrypted
2M      512K 276 # layer 1, claimed, encrypted
2560K   256K 263 # layer 1, claimed, hole and zero
2816K   256K 532
3M      1M   3
MAP
qemu-img convert -f raw -O raw "$uri" ours.raw
qemu-img convert "${objects[@]}" --image-opts -O raw "$opts" theirs.raw
cmp ours.raw theirs.raw || fail "content differs"

# Requests that begin and end anywhere.
cat >read.py <<'PY'
import nbd, random, sys
handle = nbd.NBD()
handle.connect_unix(sys.argv[1])
with open("theirs.raw", "rb") as file:
    expected = file.read()
random.seed(1)
for at in [0, 1, 511, 512, 513, 65535, (1 << 20) - 1, (2 << 20) - 300] + \
        [random.randrange(len(expected)) for _ in range(200)]:
    length = min(random.choice([1, 2, 511, 513, 4097, 70000]), len(expected) - at)
    assert bytes(handle.pread(length, at)) == expected[at:at + length], (at, length)
PY
/usr/bin/python3 read.py "$tmp/s"

same_as_theirs()
{
    rm -f ours.raw
    "$STRATA_NBD" "${objects[@]}" --run 'qemu-img convert -f raw -O raw "$uri" ours.raw' "$@"
    cmp ours.raw theirs.raw || fail "content differs: $*"
}

same_as_theirs 'json:{"driver":"qcow2","file":{"driver":"file","filename":"top.qcow2"},
    "encrypt":{"format":"luks","key-secret":"top"},"backing":{"encrypt.key-secret":"mid"}}'
same_as_theirs --image-opts "driver=raw,size=4M,file.driver=qcow2,file.encrypt.key-secret=top,\
file.file.filename=top.qcow2,file.backing.encrypt.format=luks,file.backing.encrypt.key-secret=mid"
# As QEMU writes it into the header of an overlay whose backing file needs a key.
create_encrypted key1 "-f qcow2 -u -F qcow2 -o $luks -b \
json:{\"driver\":\"qcow2\",\"encrypt.key-secret\":\"mid\",\"file.filename\":\"mid.qcow2\"}" \
    named.qcow2 4M
qemu-io "${objects[@]}" --image-opts -c 'write -q -P 3 2M 512k' -c 'write -q -z 2560k 256k' \
    driver=qcow2,encrypt.key-secret=top,file.filename=named.qcow2
same_as_theirs --image-opts driver=qcow2,encrypt.key-secret=top,file.filename=named.qcow2
assert_fails_with "header names the backing file 'mid.qcow2'.*backing|mid.qcow2.*key-secret" \
    "$STRATA_NBD" "${objects[@]}" --run true \
    --image-opts driver=qcow2,encrypt.key-secret=top,file.filename=top.qcow2

# A LUKS disk that is kept in a qcow2 image, over a raw window and under an overlay.
create_encrypted key0 '-f luks -o key-secret=sec0,iter-time=10' disk.luks 4M
qemu-img convert "${objects[@]}" --target-image-opts -n -f raw theirs.raw \
    driver=luks,key-secret=mid,file.filename=disk.luks
qemu-img convert -f raw -O qcow2 disk.luks disk.qcow2
same_as_theirs --image-opts \
    driver=luks,key-secret=mid,file.driver=qcow2,file.file.filename=disk.qcow2
{ head -c 1000 /dev/zero && cat disk.luks; } >shifted.luks
same_as_theirs --image-opts \
    driver=luks,key-secret=mid,file.driver=raw,file.offset=1000,file.file.filename=shifted.luks
create_encrypted key0 '-f qcow2 -u -b disk.luks -F luks' over.qcow2 4M
same_as_theirs --image-opts \
    driver=qcow2,file.filename=over.qcow2,backing.key-secret=mid
