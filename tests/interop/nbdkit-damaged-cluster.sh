#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdkit-damaged-cluster.sh - a damaged table entry is an error of its range; the rest is served.
source "$(dirname "$0")/../functions.sh"
require_tool nbdkit nbdsh qemu-img qemu-io

make_seed_images

# Guest cluster 40 (at 2.5 MiB) of the overlay: an L2 entry whose host offset is no cluster's.
/usr/bin/python3 - "$tmp/overlay.qcow2" <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as image:
    image.seek(40)
    l1_offset, = struct.unpack(">Q", image.read(8))
    image.seek(l1_offset)
    l2_offset = struct.unpack(">Q", image.read(8))[0] & 0x00fffffffffffe00
    image.seek(l2_offset + 40 * 8)
    entry, = struct.unpack(">Q", image.read(8))
    image.seek(l2_offset + 40 * 8)
    image.write(struct.pack(">Q", entry | 0x200))
END

start_nbdkit "$tmp/s" "$STRATA_PLUGIN" "$tmp/overlay.qcow2"
for export in "" only@overlay.qcow2 only@base.qcow2 above@base.qcow2; do
    nbdsh --base-allocation -u "$(nbd_uri "$tmp/s" "$export")" -c - <<'END'
import errno
bad, good = 40 << 16, 2 << 20
def fails(command):
    try:
        command()
    except nbd.Error as error:
        assert error.errno == "EIO", error
        return
    raise SystemExit("a damaged range was answered")
answers = []
take = lambda *args: answers.extend(args[2])
fails(lambda: h.pread(65536, bad))
fails(lambda: h.pread(131072, bad - 65536))
fails(lambda: h.block_status(65536, bad, take))
h.block_status(8 << 20, good, take)
assert sum(answers[::2]) == bad - good, answers
h.pread(bad - good, good)
h.pread(1 << 20, bad + 65536)
h.shutdown()
END
done
grep -q "'overlay.qcow2'.*0x[0-9a-f]" "$server_log" || fail "the log names no node and offset"
