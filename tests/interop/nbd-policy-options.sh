#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd-policy-options.sh - options that let a graph have what it has not by default: files that are
# written to, keys, remote backing files, formats that no header tells. Each changes what it says.
source "$(dirname "$0")/../functions.sh"
require_tool qemu-nbd qemu-img qemu-io nbdinfo
make_seed_images

# served ARG...: the depth of every range, in a line
served()
{
    "$STRATA_NBD" --run 'nbdinfo --map=qemu:allocation-depth "$uri"' "$@" |
        awk '{ printf "%s %s %s, ", $1, $2, $3 }'
}
seed='0 1048576 2, 1048576 1048576 0, 2097152 1048576 1, 3145728 1048576 0, 4194304 1048576 1, 5242880 5242880 0, '
assert_eq "$seed" "$(served "$tmp/overlay.qcow2")" "without any option"

# --force-share: a file of the graph, and not the topmost, that somebody writes to
start_process qemu-nbd --socket="$tmp/q" --pid-file="$tmp/q.pid" --persistent -f qcow2 "$tmp/base.qcow2"
wait_for_pid_file "$tmp/q.pid"
assert_fails_with 'base.qcow2.*--force-share' "$STRATA_NBD" --run true "$tmp/overlay.qcow2"
assert_eq "$seed" "$(served --force-share "$tmp/overlay.qcow2")" "--force-share"
stop_process "$server_pid" || true

# --object: a key; the option may be repeated, before and after the image
printf sesame >"$tmp/key"
create_encrypted "$tmp/key" '-f qcow2 -o encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10' \
    "$tmp/locked.qcow2" 1M
qemu-io --object "secret,id=k,file=$tmp/key" --image-opts -c 'write -q -P 0x44 64k 64k' \
    "driver=qcow2,encrypt.key-secret=k,file.driver=file,file.filename=$tmp/locked.qcow2"
words=driver=qcow2,encrypt.key-secret=two,file.driver=file,file.filename=$tmp/locked.qcow2
echo wrong >"$tmp/wrong"
assert_fails_with "lend it with --object" "$STRATA_NBD" --run true "$tmp/locked.qcow2"
assert_eq '0 65536 0, 65536 65536 1, 131072 917504 0, ' \
    "$(served --object "secret,id=one,file=$tmp/wrong" --image-opts "$words" \
        --object "secret,id=two,file=$tmp/key")" "--object"
assert_fails_with . "$STRATA_NBD" --run true --object "secret,id=two,file=$tmp/wrong" \
    --image-opts "$words"

# --allow-protocols: a header that names an NBD server
start_qemu_nbd "$tmp/b" -f qcow2 "$tmp/base.qcow2"
qemu-img create -q -f qcow2 -b "nbd+unix:///?socket=$tmp/b" -F raw "$tmp/far.qcow2" 10M
qemu-io -f qcow2 -c 'write -q -P 0x22 2M 1M' "$tmp/far.qcow2"
assert_fails_with 'allow-protocols' "$STRATA_NBD" --run true "$tmp/far.qcow2"
copy=$tmp/copy "$STRATA_NBD" --allow-protocols nbd --run 'nbdcopy "$uri" "$copy"' "$tmp/far.qcow2"
make_seed_content "$tmp/content"
cmp "$tmp/content" "$tmp/copy"

# --probe: a header that does not say what its backing file is; its extension is made an unknown one
at=$(grep -obaP '\xe2\x79\x2a\xca' "$tmp/overlay.qcow2" | head -n 1 | cut -d : -f 1)
printf '\x12\x34\x56\x78' | dd of="$tmp/overlay.qcow2" bs=1 seek="$at" conv=notrunc status=none
assert_fails_with '--probe' "$STRATA_NBD" --run true "$tmp/overlay.qcow2"
assert_eq "$seed" "$(served --probe "$tmp/overlay.qcow2")" "--probe"
assert_eq '0 2097152 2, 2097152 1048576 1, 3145728 1048576 2, 4194304 1048576 1, 5242880 5242880 2, ' \
    "$(served --probe --backing-format raw "$tmp/overlay.qcow2")" "--backing-format goes before --probe"
