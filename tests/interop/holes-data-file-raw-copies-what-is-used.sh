#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# holes-data-file-raw-copies-what-is-used.sh - of a disk of 256 MiB in an external raw data file, of
# which 1 MiB is used, nbdcopy and qemu-img read and write about 1 MiB. (QEMU's own server says that
# all of it is data.)
source "$(dirname "$0")/../functions.sh"
require_tool qemu-img qemu-io nbdcopy nbdkit fallocate

mega=$((1 << 20))
qemu-img create -q -f qcow2 -o data_file="$tmp/data.raw",data_file_raw=on "$tmp/disk.qcow2" 256M
qemu-io -f qcow2 -c 'write -q -P 0x5a 100M 1M' "$tmp/disk.qcow2"
# QEMU writes a block of zeros at the beginning of each file that it makes.
fallocate --punch-hole --offset 0 --length 1M "$tmp/data.raw"
start_strata_nbd "$tmp/s" -f qcow2 "$tmp/disk.qcow2"

# QEMU sees no hole here: what is shown next is not trivial.
start_qemu_nbd "$tmp/q" -f qcow2 "$tmp/disk.qcow2"
assert_map "$(nbd_uri "$tmp/q")" base:allocation <<END
0 256M 0
END
assert_map "$(nbd_uri "$tmp/s")" base:allocation <<END
0    100M 3
100M 1M   0
101M 155M 3
END
assert_map "$(nbd_uri "$tmp/s")" qemu:allocation-depth <<END
0 256M 1
END

# assert_little WHAT BYTES: about a MiB, with room for a block of metadata or a rounded request.
assert_little()
{
    (($2 >= mega && $2 <= 2 * mega)) || fail "$1: $2 bytes, and 1 MiB is used"
}

allocated()
{
    echo $(($(stat -c '%b * %B' "$1")))
}

# Through a proxy that counts what is read.
start_nbdkit "$tmp/k" --readonly --filter=stats nbd "uri=$(nbd_uri "$tmp/s")" statsfile="$tmp/stats"
nbdcopy "$(nbd_uri "$tmp/k")" "$tmp/nbdcopy.raw"
qemu-img convert -f raw -O raw "$(nbd_uri "$tmp/s")" "$tmp/convert.raw"
stop_process "$server_pid"
assert_little 'nbdcopy wrote' "$(allocated "$tmp/nbdcopy.raw")"
assert_little 'qemu-img convert wrote' "$(allocated "$tmp/convert.raw")"
# "read: 4 ops, 0.003876 s, 1.00 MiB, ..."
assert_eq '1.00 MiB' "$(sed -n 's/^read: [^,]*, [^,]*, \([^,]*\),.*/\1/p' "$tmp/stats")" \
    'what nbdcopy read'
cmp "$tmp/nbdcopy.raw" "$tmp/convert.raw"
qemu-img compare -f raw -F qcow2 "$tmp/nbdcopy.raw" "$tmp/disk.qcow2" >/dev/null
