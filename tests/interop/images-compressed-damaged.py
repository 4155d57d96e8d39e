# SPDX-License-Identifier: LGPL-2.1-or-later
# images-compressed-damaged.py - what is wrong with one compressed cluster is an error for that
# cluster when it is read, on the same connection as all else, which is served; the map is told. A
# bitmap of subclusters that should not be there is ignored, as QEMU ignores it.
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from functions import (Workspace, check, check_same_bytes, connect, main,  # noqa: E402
                       read_all, run, stop, wait_for_log, whole_maps)
import nbd  # noqa: E402

CLUSTER = 1 << 16
N_CLUSTERS = 8
COMPRESSED = 1 << 62
OFFSET_MASK = 0x00FFFFFFFFFFFE00


def make_image(work, name, options):
    """Eight clusters of text, compressed; returns the path and the content."""
    content = b"".join(b"cluster %d, line %d\n" % (at // 2500, at) for at in range(60000))
    content = content[:N_CLUSTERS * CLUSTER]
    source, path = work.path("source.raw"), work.path(name)
    with open(source, "wb") as file:
        file.write(content)
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, source, path)
    return path, content


def l2_entries(blob, entry_bytes=8):
    """[(offset in the file, entry)] of the clusters, by the specification."""
    l1_offset, = struct.unpack_from(">Q", blob, 40)
    l2_offset = struct.unpack_from(">Q", blob, l1_offset)[0] & OFFSET_MASK
    places = [l2_offset + i * entry_bytes for i in range(N_CLUSTERS)]
    return [(at, struct.unpack_from(">Q", blob, at)[0]) for at in places]


def host_of(entry):
    return entry & ((1 << (62 - (16 - 8))) - 1)


def check_damaged(work, name, blob, bad, log_says, content):
    """Cluster number bad cannot be read; its neighbours can, and the map knows nothing of it."""
    path = work.path(name)
    with open(path, "wb") as file:
        file.write(blob)
    socket, process = work.serve_process("--format", "qcow2", path)
    handle = connect(socket, ["base:allocation", "strata:joint"])
    maps = whole_maps(handle, ["base:allocation", "strata:joint"])
    size = N_CLUSTERS * CLUSTER
    check(maps["base:allocation"] == [(0, size, 0)], f"{name}: {maps['base:allocation']}")
    check(maps["strata:joint"] == [(0, size, 1 << 8 | 8 | 4)], f"{name}: {maps['strata:joint']}")
    for at in range(0, size, CLUSTER // 4):
        try:
            found = bytes(handle.pread(CLUSTER // 4, at))
        except nbd.Error as error:
            check(at // CLUSTER == bad, f"{name}: no reading at {at:#x}: {error}")
            check(error.errno == "EIO", f"{name}: {error.errno} at {at:#x}")
            continue
        check(at // CLUSTER != bad, f"{name}: reading at {at:#x} gives {found[:16]!r}")
        check_same_bytes(content[at:at + CLUSTER // 4], found, f"{name} at {at:#x}")
    handle.shutdown()
    for words in (name, f"guest offset {bad * CLUSTER:#x}", log_says):
        wait_for_log(process, words)
    check(stop(process) == 0, f"{name}: the server ended with {process.returncode}")


def check_broken_streams(work, options, word):
    path, content = make_image(work, f"{word}.qcow2", options)
    with open(path, "rb") as file:
        blob = file.read()
    entries = l2_entries(blob)
    check(all(entry & COMPRESSED for _, entry in entries), f"{options}: not all is compressed")
    hosts = [host_of(entry) for _, entry in entries]

    broken = bytearray(blob)
    broken[hosts[3]:hosts[3] + 64] = bytes(byte ^ 0xFF for byte in broken[hosts[3]:hosts[3] + 64])
    check_damaged(work, f"{word}-flipped.qcow2", broken, 3, f"at {hosts[3]:#x} there is no valid",
                  content)

    moved = bytearray(blob)
    struct.pack_into(">Q", moved, entries[5][0], entries[5][1] - hosts[5] + (1 << 40))
    check_damaged(work, f"{word}-moved.qcow2", moved, 5, "past the end of the file", content)

    last = max(range(N_CLUSTERS), key=lambda i: hosts[i])
    check_damaged(work, f"{word}-cut.qcow2", blob[:hosts[last] + 20], last,
                  "bytes at", content)


def check_reserved_bitmap(work):
    """Extended L2 entries: the bitmap of a compressed cluster says nothing."""
    path, content = make_image(work, "bitmap.qcow2", "extended_l2=on")
    with open(path, "r+b") as file:
        blob = file.read()
        for number, (at, entry) in enumerate(l2_entries(blob, 16)):
            check(entry & COMPRESSED, f"cluster {number} is not compressed")
            file.seek(at + 8)
            file.write(struct.pack(">Q", (0xFFFFFFFF, 0xF0F << 32, 1 << 63 | 1, 0)[number % 4]))
    ours = connect(work.serve("--format", "qcow2", path), ["qemu:allocation-depth"])
    theirs = connect(work.serve_with_qemu("-f", "qcow2", path), ["qemu:allocation-depth"])
    check_same_bytes(content, read_all(theirs), "QEMU on reserved bitmaps")
    check_same_bytes(content, read_all(ours), "reserved bitmaps")
    check(whole_maps(ours, ["qemu:allocation-depth"]) ==
          whole_maps(theirs, ["qemu:allocation-depth"]), "reserved bitmaps: depths differ")


def check_longer_stream(work):
    """A deflate stream that goes on after the cluster: QEMU reads the beginning, and so do we. It
    is made by having an image of larger clusters say that they are smaller."""
    path, content = make_image(work, "large.qcow2", "cluster_size=128k")
    with open(path, "rb") as file:
        large = file.read()
    l1_offset, = struct.unpack_from(">Q", large, 40)
    l2_offset = struct.unpack_from(">Q", large, l1_offset)[0] & OFFSET_MASK
    entry, = struct.unpack_from(">Q", large, l2_offset)
    host = entry & ((1 << (62 - (17 - 8))) - 1)
    path, _ = make_image(work, "longer.qcow2", "cluster_size=64k")
    with open(path, "r+b") as file:
        blob = file.read()
        at = len(blob)
        file.seek(at)
        stream = large[host:host + 0x8000]
        file.write(stream)
        file.seek(l2_entries(blob)[2][0])
        file.write(struct.pack(">Q", COMPRESSED | (len(stream) // 512) << (62 - 8) | at))
    expected = content[:2 * CLUSTER] + content[:CLUSTER] + content[3 * CLUSTER:]
    theirs = connect(work.serve_with_qemu("-f", "qcow2", path))
    check_same_bytes(expected, read_all(theirs), "QEMU on a stream that is longer")
    ours = connect(work.serve("--format", "qcow2", path))
    check_same_bytes(expected, read_all(ours), "a stream that is longer")


def test():
    with Workspace() as work:
        check_broken_streams(work, "compression_type=zlib", "zlib")
        check_broken_streams(work, "compression_type=zstd", "zstd")
        check_reserved_bitmap(work)
        check_longer_stream(work)


main(test)
