#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-encrypted-keys.sh - where a key may come from, and what is said when it is missing, wrong or
# for another image. No message and no log repeats a key.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
printf 'sesame-and-more-than-16' >key
printf 'sesame-and-more-than-16\n' >key-with-line-end
base64 key >key.base64
luks=encrypt.format=luks,encrypt.iter-time=10
create_encrypted key "-f qcow2 -o $luks,encrypt.key-secret=sec0" luks.qcow2 1M
create_encrypted key '-f qcow2 -o encrypt.format=aes,encrypt.key-secret=sec0' aes.qcow2 1M
create_encrypted key '-f luks -o iter-time=10,key-secret=sec0' disk.luks 1M
qemu-img create -q -f qcow2 plain.qcow2 1M
for image in luks.qcow2 aes.qcow2; do
    qemu-io --object secret,id=sec0,file=key --image-opts -c 'write -q -P 7 4k 60k' \
        "driver=qcow2,encrypt.key-secret=sec0,file.filename=$image"
done
opts=driver=qcow2,encrypt.key-secret=sec0,file.filename=luks.qcow2

# serve OBJECT IMAGE_OPTS: pattern 7 is where it was written.
serve()
{
    "$STRATA_NBD" --object "$1" --run 'qemu-io -f raw -r -c "read -P 7 4k 60k" "$uri"' \
        --image-opts "$2" >io.log
    grep -q 'read 61440' io.log && ! grep -q failed io.log || fail "not read: $1 $2: $(cat io.log)"
}

serve secret,id=sec0,file=key "$opts"
serve secret,id=sec0,file=key,format=raw "$opts"
serve secret,id=sec0,file=key.base64,format=base64 "$opts"
serve secret,id=sec0,fd=7 "$opts" 7<key
serve secret,id=sec0,fd=0 "$opts" <key
serve secret,id=sec0,file=/dev/fd/7 "$opts" 7<key
serve secret,id=sec0,file=key "$opts,encrypt.format=luks"
serve secret,id=sec0,file=key \
    driver=qcow2,encrypt.format=aes,encrypt.key-secret=sec0,file.filename=aes.qcow2

# refused REGEX OBJECT IMAGE_OPTS
refused()
{
    assert_fails_with "$1" "$STRATA_NBD" --object "$2" --run true --image-opts "$3"
    "$STRATA_NBD" --object "$2" --run true --image-opts "$3" >log 2>&1 || true
    ! grep -q sesame log || fail "the key is in a message: $(cat log)"
}

one_error="the secret 'sec0' opens none of the image's key slots, of which 1 is active"
refused "node 'luks.qcow2' .*$one_error" secret,id=sec0,file=key-with-line-end "$opts"
refused "$one_error" secret,id=sec0,file=key.base64 "$opts"
refused "$one_error" secret,id=sec0,file=/dev/null "$opts"
refused "$one_error" secret,id=sec0,file=key-with-line-end \
    driver=luks,key-secret=sec0,file.filename=disk.luks
refused '"data" is refused: every user.*file=.*fd=' secret,id=sec0,data=sesame "$opts"
refused "there is no secret 'sec0'; --object secret,id=sec0,file=PATH" secret,id=sec1,file=key "$opts"
refused 'encrypted \(luks\), and "encrypt.key-secret" does not say.*--object secret' \
    secret,id=sec0,file=key driver=qcow2,file.filename=luks.qcow2
refused 'encrypted \(aes\), and "encrypt.key-secret" does not say' \
    secret,id=sec0,file=key driver=qcow2,file.filename=aes.qcow2
refused '"key-secret" does not say with which key' \
    secret,id=sec0,file=key driver=luks,file.filename=disk.luks
refused '"encrypt.format" is aes, and the image is encrypted with luks' \
    secret,id=sec0,file=key "$opts,encrypt.format=aes"
refused "\"encrypt.format\" is 'rot13', expected aes or luks" \
    secret,id=sec0,file=key "$opts,encrypt.format=rot13"
refused 'it is not encrypted; leave it out' secret,id=sec0,file=key \
    driver=qcow2,encrypt.key-secret=sec0,file.filename=plain.qcow2
refused 'has no key "key-secret"' secret,id=sec0,file=key \
    driver=qcow2,key-secret=sec0,file.filename=luks.qcow2

# Recognised by its first bytes, and then a key is needed; the bytes of the file can still be had.
assert_fails_with 'encrypted with LUKS.*driver=luks,key-secret=' "$STRATA_NBD" --run true disk.luks
"$STRATA_NBD" --object secret,id=sec0,file=key --run 'nbdinfo --size "$uri"' \
    --image-opts file.filename=disk.luks,key-secret=sec0 >size
assert_eq 1048576 "$(cat size)" "the size of the disk"
"$STRATA_NBD" --format=raw --run 'nbdinfo --size "$uri"' disk.luks >size
assert_eq "$(stat -c %s disk.luks)" "$(cat size)" "the size of the file"
