#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-snapshots-damaged.sh - a snapshot that is not there, or whose entry is damaged, is one
# clear error; the disk of today is served all the same, and so are the other snapshots.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
qemu-img create -q -f qcow2 image.qcow2 4M
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' image.qcow2
qemu-img snapshot -c first image.qcow2
qemu-io -f qcow2 -c 'write -q -P 2 0 1M' image.qcow2
qemu-img snapshot -c second image.qcow2
qemu-io -f qcow2 -c 'write -q -P 3 0 1M' image.qcow2

# put OFFSET HEX [FILE]: writes bytes into the image.
put()
{
    local bytes
    bytes=$(sed 's/../\\x&/g' <<<"$2")
    # shellcheck disable=SC2059 # the escapes are what is meant
    printf "$bytes" | dd of="${3:-image.qcow2}" bs=1 seek="$1" conv=notrunc status=none
}

# number OFFSET BYTES: a big-endian number of the image, in decimal.
number()
{
    echo $((16#$(od -An -v -tx1 -j "$1" -N "$2" image.qcow2 | tr -d ' \n')))
}

# open_at SNAPSHOT CMD: serves the image at that snapshot while CMD runs.
open_at()
{
    "$STRATA_NBD" --run "$2" --image-opts \
        "driver=qcow2,snapshot=$1,file.filename=image.qcow2"
}

# assert_first_byte SNAPSHOT HEX
assert_first_byte()
{
    # shellcheck disable=SC2016 # strata-nbd sets it
    assert_eq "$2" "$(open_at "$1" 'nbdcopy "$uri" - | od -An -tx1 -N1' | tr -d ' ')" "snapshot $1"
}

# assert_today: the disk as it stands now is there.
assert_today()
{
    # shellcheck disable=SC2016
    assert_eq 03 "$("$STRATA_NBD" --format=qcow2 --run 'nbdcopy "$uri" - | od -An -tx1 -N1' \
        image.qcow2 | tr -d ' ')" "today's disk"
}

assert_first_byte 1 01
assert_first_byte second 02
assert_fails_with "there is no snapshot with the ID or name 'third'; the image has 1 \('first'\), 2 \('second'\)" \
    open_at third true
assert_fails_with "\"snapshot\" is 1, expected a string: put it in quotes" "$STRATA_NBD" --run true \
    'json:{"driver":"qcow2","snapshot":1,"file":{"filename":"image.qcow2"}}'
assert_fails_with "driver \"raw\" has no key \"snapshot\"" "$STRATA_NBD" --run true --image-opts \
    driver=raw,snapshot=1,file.filename=image.qcow2

# The first entry's L1 table is said to lie beyond the file: the others do not mind.
cp image.qcow2 good.qcow2
table=$(number 64 8)
put "$table" 0000010000000000
assert_fails_with "L1 table.*in the entry of snapshot 'first'.* past the end of the file" \
    open_at first true
assert_first_byte second 02
assert_today

# A table that cannot be followed: no snapshots, and why is told.
cp good.qcow2 image.qcow2
put $((table + 12)) ffff
assert_fails_with 'entry 1 of the snapshot table, .*(past the end of the file|extra data)' \
    open_at second true
assert_today
put $((table + 12)) "$(od -An -tx1 -j $((table + 12)) -N 2 good.qcow2 | tr -d ' ')"
assert_first_byte second 02
put 60 00010001
assert_fails_with 'has 65537 snapshots in the header; at most 65536' open_at 1 true
assert_today
cp good.qcow2 image.qcow2
put 64 0000000000000200
assert_fails_with "snapshot table's offset 0x200 is no multiple of the cluster size" open_at 1 true
assert_today

qemu-img create -q -f qcow2 image.qcow2 1M
assert_fails_with "there is no snapshot '1': the image has no snapshots" open_at 1 true

# QEMU makes no snapshots of an image with a data file, and such a table would be wrong.
qemu-img create -q -f qcow2 -o data_file=data.raw image.qcow2 4M
put 60 00000001
put 64 0000000000010000
assert_fails_with 'has 1 snapshots and an external data file' open_at 1 true
# shellcheck disable=SC2016
assert_eq 4194304 "$("$STRATA_NBD" --format=qcow2 --run 'nbdinfo --size "$uri"' image.qcow2)" \
    "size of the image with a data file"
