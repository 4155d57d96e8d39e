#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-encrypted-ciphers.sh - ciphers, modes, IV generators and hashes that QEMU can make: those
# that GnuTLS has are read as QEMU reads them, the others are refused by name.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
printf 'correct horse' >key
object=secret,id=sec0,file=key
opts=driver=luks,key-secret=sec0,file.filename=image.luks

make()
{
    create_encrypted key "-f luks -o key-secret=sec0,iter-time=10,$1" image.luks 2M
}

assert_same()
{
    make "$1"
    qemu-io --object "$object" --image-opts -c 'write -q -P 1 0 64k' -c 'write -q -P 2 1M 1M' "$opts"
    "$STRATA_NBD" --object "$object" --run 'qemu-img convert -f raw -O raw "$uri" ours.raw' \
        --image-opts "$opts"
    qemu-img convert --object "$object" --image-opts -O raw "$opts" theirs.raw
    cmp ours.raw theirs.raw || fail "content differs: $1"
    qemu-io -f raw -r -c 'read -q -P 1 0 64k' -c 'read -q -P 2 1M 1M' ours.raw >io.log
    ! grep -q failed io.log || fail "what was written is not what is read: $1"
}

assert_refused()
{
    make "$1"
    assert_fails_with "image.luks.*$2.*what GnuTLS can do" "$STRATA_NBD" --object "$object" \
        --run true --image-opts "$opts"
}

assert_same hash-alg=sha512
assert_same cipher-alg=aes-128,ivgen-alg=plain,hash-alg=sha1
assert_same cipher-alg=aes-128,ivgen-alg=essiv,hash-alg=sha224
assert_same cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=sha384
assert_same cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv
assert_same cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=md5,hash-alg=md5
assert_refused cipher-alg=aes-192 'aes-xts-plain64 and a key of 48 bytes'
assert_refused cipher-alg=aes-256,cipher-mode=ctr 'aes-ctr-plain64'
assert_refused cipher-alg=twofish-256 'twofish-xts-plain64'
assert_refused hash-alg=ripemd160 'the hash ripemd160'
