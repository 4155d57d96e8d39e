#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-snapshots-encrypted.sh - an encrypted image has its snapshots under the same key, and its
# bitmaps, which are not encrypted, say what QEMU says of them.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
echo -n 'correct horse' >key
secret=secret,id=key,file=$tmp/key
words=driver=qcow2,file.filename=image.qcow2,encrypt.key-secret=key

create_encrypted key '-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10' \
    image.qcow2 4M
qemu-img bitmap --add -g 64k --object "$secret" --image-opts "$words" b
write()
{
    qemu-io --object "$secret" --image-opts "$words" -c "$1"
}
write 'write -q -P 1 0 1M'
qemu-img snapshot -c first --object "$secret" --image-opts "$words"
write 'write -q -P 2 512k 1M'
qemu-img snapshot -c second --object "$secret" --image-opts "$words"
write 'write -q -P 3 3M 64k'

for name in first second; do
    qemu-img convert --object "$secret" --image-opts -l "snapshot.name=$name" -O raw \
        "$words" theirs.raw
    # shellcheck disable=SC2016 # strata-nbd sets it
    "$STRATA_NBD" --object "$secret" --run 'nbdcopy "$uri" ours.raw' \
        --image-opts "$words,snapshot=$name"
    cmp theirs.raw ours.raw || fail "content at snapshot $name differs"
    rm ours.raw
done

start_strata_nbd "$tmp/ours" --object "$secret" --image-opts "$words"
start_qemu_nbd "$tmp/theirs" --object "$secret" -B b --image-opts "$words"
assert_eq "$(map_of "$(nbd_uri "$tmp/theirs")" qemu:dirty-bitmap:b)" \
    "$(map_of "$(nbd_uri "$tmp/ours")" qemu:dirty-bitmap:b)" "bitmap of the encrypted image"

# A snapshot by its export, which opens the image once more with the same key.
qemu-img convert --object "$secret" --image-opts -l snapshot.name=first -O raw "$words" theirs.raw
nbdcopy "$(nbd_uri "$tmp/ours" @image.qcow2:first)" ours.raw
cmp theirs.raw ours.raw || fail 'content of the export of snapshot first differs'
