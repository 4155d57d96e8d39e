#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images-encrypted-equal-qemu.sh - encrypted qcow2 images of every cluster size, by both methods, with
# data files, subclusters and compressed clusters: the bytes are those that QEMU reads, and so are
# the depths.
source "$(dirname "$0")/../functions.sh"

cd "$tmp"
printf 'letmein' >key
object=secret,id=sec0,file=key
opts=driver=qcow2,encrypt.key-secret=sec0,file.filename=image.qcow2
qemu-img create -q -f raw base.raw 4M
qemu-io -f raw -c 'write -q -P 0x11 0 1M' -c 'write -q -P 0x12 2M 1M' base.raw
base=(-b base.raw -F raw)
n=0

# assert_same QCOW2_OPTIONS SIZE [MORE]...: makes the image, writes to it, and compares.
assert_same()
{
    local what=$1 size=$2
    shift 2

    rm -f data.raw
    create_encrypted key "-f qcow2 $* -o $what,encrypt.key-secret=sec0" image.qcow2 "$size"
    qemu-io --object "$object" --image-opts -c 'write -q -P 1 0 64k' -c 'write -q -P 2 1M 200k' \
        -c 'write -q -z 512k 256k' -c 'write -q -P 3 2500k 512' -c 'write -q -z 100k 8k' \
        -c 'write -q -z -u 2M 128k' -c 'discard -q 1088k 64k' -c 'write -q -P 4 2601472 3k' "$opts"
    n=$((n + 1))
    compare "$what $size"
}

compare()
{
    local ours theirs

    "$STRATA_NBD" --object "$object" --run 'qemu-img convert -f raw -O raw "$uri" ours.raw' \
        --image-opts "$opts"
    qemu-img convert --object "$object" --image-opts -O raw "$opts" theirs.raw
    cmp ours.raw theirs.raw || fail "content differs: $1"
    start_strata_nbd "$tmp/s$n" --object "$object" --image-opts "$opts"
    ours=$(map_of "$(nbd_uri "$tmp/s$n")" qemu:allocation-depth)
    stop_process "$server_pid" || true
    start_qemu_nbd "$tmp/q$n" --object "$object" --image-opts "$opts"
    theirs=$(map_of "$(nbd_uri "$tmp/q$n")" qemu:allocation-depth)
    stop_process "$server_pid" || true
    assert_eq "$theirs" "$ours" "depths: $1"
}

luks=encrypt.format=luks,encrypt.iter-time=10
for size in 512 4k 64k 2M; do
    assert_same "$luks,cluster_size=$size" 4M "${base[@]}"
    assert_same "encrypt.format=aes,cluster_size=$size" 4M "${base[@]}"
done
assert_same 'encrypt.format=aes,compat=0.10' 5000192
assert_same "$luks" 5000192
assert_same "$luks,extended_l2=on,cluster_size=16k" 4M "${base[@]}"
assert_same "encrypt.format=aes,extended_l2=on,cluster_size=2M" 4M
assert_same "$luks,data_file=data.raw" 4M "${base[@]}"
assert_same 'encrypt.format=aes,data_file=data.raw' 4M
assert_same "$luks,data_file=data.raw,data_file_raw=on" 4M
cmp -s data.raw theirs.raw && fail "the data file is not encrypted: the test shows nothing"

# QEMU writes compressed clusters in the clear, whatever stands around them.
create_encrypted key "-f qcow2 -o $luks,encrypt.key-secret=sec0" image.qcow2 1M
qemu-io --object "$object" --image-opts -c 'write -q -c -P 5 0 64k' -c 'write -q -P 6 64k 64k' \
    -c 'write -q -z 192k 64k' "$opts"
n=$((n + 1))
compare 'compressed clusters'
start_strata_nbd "$tmp/s" --object "$object" --image-opts "$opts"
assert_map "$(nbd_uri "$tmp/s")" strata:joint <<'MAP'
0       64K  268 # claimed by layer 1 (256 + 4), compressed (8)
64K     64K  276 # encrypted (16), and so not known to be a hole
128K    64K  3
192K    64K  263 # a zero cluster is zero
256K    768K 3
MAP
