#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Persistent dirty bitmaps in images of every cluster size and kind, of every granularity, filled by
QEMU's writes, enabled, disabled and merged: each says what qemu-nbd -B says of it."""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import Workspace, check, check_same_map, connect, main, run, whole_maps

SEED = 20260731
MIB = 1 << 20
PREFIX = "qemu:dirty-bitmap:"
STEP = 1 << 31

# Options of qemu-img create, size, granularities. A bitmap cluster of 512 bytes tells of 2 MiB at
# granularity 512, one of 2 MiB of 8 GiB.
SHAPES = [
    ("cluster_size=512", 9 * MIB + 1536, (512, 65536, 2 * MIB)),
    ("cluster_size=4k", 200 * MIB + 512, (512, 32768)),
    ("cluster_size=64k", 64 * MIB, (512, 4096, 65536, 1 << 31)),
    ("cluster_size=2M", 1024 * MIB + 512, (512, 2 * MIB)),
    ("cluster_size=64k,extended_l2=on", 30 * MIB, (2048, 65536)),
    ("cluster_size=64k,data_file={dir}/data.raw", 30 * MIB, (512, 65536)),
    ("cluster_size=64k", 2 << 40, (65536, 16 * MIB)),
]


def write_randomly(rng, image, size):
    commands = []
    for _ in range(8):
        length = rng.choice((512, 4096, 65536, 3 * MIB))
        offset = rng.randrange((size - length) // 512) * 512
        kind = rng.choice(("write -q -P 1", "write -q -z", "discard -q"))
        commands += ["-c", f"{kind} {offset} {length}"]
    # At both ends, where a bit may stand for less than the granularity.
    commands += ["-c", "write -q 0 512", "-c", f"write -q {size - 512} 512"]
    run("qemu-io", "-f", "qcow2", "-d", "unmap", *commands, image)


def make_image(work, rng, number, options, size, granularities):
    """Returns the image and the names of its bitmaps."""
    image = work.path(f"i{number}.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options.format(dir=work.dir), image,
        str(size))
    names = [f"of {granularity}" for granularity in granularities]
    for name, granularity in zip(names, granularities):
        run("qemu-img", "bitmap", "--add", "-g", str(granularity), image, name)
        write_randomly(rng, image, size)
    run("qemu-img", "bitmap", "--add", "--disable", image, "empty")
    run("qemu-img", "bitmap", "--disable", image, names[0])
    run("qemu-img", "bitmap", "--add", "--disable", "-g", str(granularities[0]), image, "merged")
    write_randomly(rng, image, size)
    run("qemu-img", "bitmap", "--merge", names[-1], image, "merged")
    run("qemu-img", "bitmap", "--merge", names[0], image, "merged")
    run("qemu-img", "bitmap", "--enable", image, "merged")
    write_randomly(rng, image, size)
    return image, names + ["empty", "merged"]


def map_of(socket, context):
    handle = connect(socket, [context])
    return whole_maps(handle, [context], STEP)[context]


def check_shape(work, rng, number, options, size, granularities):
    image, names = make_image(work, rng, number, options, size, granularities)
    ours = work.serve("--format=qcow2", image)
    for name in names:
        theirs = work.serve_with_qemu("-f", "qcow2", "-B", name, image)
        expected = map_of(theirs, PREFIX + name)
        check((name == "empty") != any(value for _, _, value in expected),
              f"bitmap '{name}' ({options}) should have been filled, or not")
        check_same_map(expected, map_of(ours, PREFIX + name),
                       f"bitmap '{name}' ({options}, {size} bytes)")


def test():
    rng = random.Random(SEED)
    with Workspace() as work:
        for number, shape in enumerate(SHAPES):
            check_shape(work, rng, number, *shape)


main(test)
