#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-encrypted-cryptsetup.sh - LUKS as cryptsetup makes it, in several slots and with a binary
# key file: size and bytes are those that QEMU sees, or openssl where QEMU cannot.
source "$(dirname "$0")/../functions.sh"
require_tool cryptsetup openssl xxd

cd "$tmp"
head -c 32 /dev/urandom >other-key
printf 'letmein' >key
object=secret,id=sec0,file=key
opts=driver=luks,key-secret=sec0,file.filename=image.luks

# make CIPHER KEY_BITS: what is in the payload decrypts to anything, the same for everybody.
make()
{
    head -c 3M /dev/urandom >image.luks
    cryptsetup luksFormat -q --type luks1 --iter-time 10 --cipher "$1" --key-size "$2" image.luks \
        key 2>cryptsetup.log || fail "$(cat cryptsetup.log)"
}

# read_ours SECRET_FILE
read_ours()
{
    "$STRATA_NBD" --object "secret,id=sec0,file=$1" --run 'nbdcopy "$uri" -' --image-opts "$opts" \
        >ours.raw
}

for cipher in aes-xts-plain64:256 aes-xts-plain64:512 aes-cbc-essiv:sha256:128 \
    aes-cbc-plain64:256 aes-cbc-plain:128; do
    make "${cipher%:*}" "${cipher##*:}"
    read_ours key
    qemu-img convert --object "$object" --image-opts -O raw "$opts" theirs.raw
    cmp ours.raw theirs.raw || fail "content differs: $cipher"
done

# More slots, one killed, and a key that is no text.
cryptsetup luksAddKey -q --iter-time 10 --key-file key image.luks other-key
read_ours other-key
cmp ours.raw theirs.raw || fail "content differs with the second slot's key"
cryptsetup luksKillSlot -q --key-file other-key image.luks 0
read_ours other-key
assert_fails_with "the secret 'sec0' opens none of the image's key slots, of which 1 is active" \
    read_ours key

# A key of 24 bytes makes stripes that end within a sector; QEMU cannot read that.
make aes-cbc-plain64 192
read_ours key
cryptsetup luksDump -q --dump-master-key --key-file key --master-key-file master image.luks \
    >/dev/null 2>&1
payload=$(cryptsetup luksDump image.luks | sed -n 's/^Payload offset:[[:space:]]*//p')
assert_eq $((3 * 1024 * 1024 - payload * 512)) "$(stat -c %s ours.raw)" "size"
for sector in 0 1 300; do
    dd if=image.luks of=encrypted bs=512 skip=$((payload + sector)) count=1 status=none
    printf '%02x%02x%028x' $((sector % 256)) $((sector / 256)) 0 >iv
    openssl enc -d -aes-192-cbc -nopad -K "$(od -An -v -tx1 master | tr -d ' \n')" \
        -iv "$(cat iv)" -in encrypted -out plain
    dd if=ours.raw of=ours bs=512 skip="$sector" count=1 status=none
    cmp ours plain || fail "sector $sector differs"
done

# Version 2 is another format.
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 image2.luks key \
    2>/dev/null || { truncate -s 20M image2.luks && cryptsetup luksFormat -q --type luks2 \
    --pbkdf pbkdf2 --pbkdf-force-iterations 1000 image2.luks key; }
assert_fails_with 'LUKS version 2' "$STRATA_NBD" --object "$object" --run true \
    --image-opts driver=luks,key-secret=sec0,file.filename=image2.luks
