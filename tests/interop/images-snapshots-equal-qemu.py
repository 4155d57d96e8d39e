#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of every version, cluster size and kind that can hold internal snapshots, with several
taken between random writes: at each, content and depths are those of qemu-nbd -l."""
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import (Workspace, check, check_same_bytes, check_same_map, connect, main, read_all,
                       run, whole_maps)

SEED = 20260730
MIB = 1 << 20
SIZE = 4 * MIB
DEPTH = "qemu:allocation-depth"

# Options of qemu-img create; whether the disk grows between snapshots (QEMU: version 3 only).
SHAPES = [
    ("cluster_size=512", True),
    ("cluster_size=64k", True),
    ("cluster_size=2M", True),
    ("cluster_size=16k,extended_l2=on", True),
    ("cluster_size=64k,compression_type=zstd", False),
    ("compat=0.10", False),
]


def write_randomly(rng, image, size):
    commands = []
    for _ in range(6):
        length = rng.choice((512, 4096, 65536, 300 * 1024))
        offset = rng.randrange((size - length) // 512) * 512
        kind = rng.choice(("write -q -P %d" % rng.randrange(1, 256), "write -q -z", "discard -q"))
        commands += ["-c", f"{kind} {offset} {length}"]
    run("qemu-io", "-f", "qcow2", "-d", "unmap", *commands, image)


def make_image(work, rng, number, options, grows):
    """Returns the image and (ID, name, size) of its snapshots."""
    image, size, snapshots = work.path(f"i{number}.qcow2"), SIZE, []
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "-o", options,
        image, str(size))
    # Compressed clusters go where nothing is yet only.
    run("qemu-io", "-f", "qcow2", "-c", "write -q -c -P 99 2M 2M", image)
    for turn in range(3):
        write_randomly(rng, image, size)
        run("qemu-img", "snapshot", "-c", f"turn {turn}", image)
        snapshots.append((str(turn + 1), f"turn {turn}", size))
        if grows:
            size += MIB + 512
            run("qemu-img", "resize", "-q", image, str(size))
    write_randomly(rng, image, size)
    run("qemu-img", "snapshot", "-d", "turn 1", image)
    return image, [snapshots[0], snapshots[2]]


def clip(extents, size):
    return [(at, min(length, size - at), value) for at, length, value in extents if at < size]


def by_file(work, image):
    """The words for the image with nothing left to its header."""
    return {"driver": "qcow2", "file": {"driver": "file", "filename": image},
            "backing": {"driver": "raw",
                        "file": {"driver": "file", "filename": work.path("base.raw")}}}


def check_snapshot(work, image, snapshot, words, what):
    number, name, size = snapshot
    # QEMU shows a snapshot with the size that the disk has today; what lies beyond is not its own.
    theirs = connect(work.serve_with_qemu("-f", "qcow2", "-l", f"snapshot.name={name}", image),
                     [DEPTH])
    ours = connect(work.serve(f"json:{json.dumps(words)}"), [DEPTH])
    check(ours.get_size() == size, f"{what} has size {ours.get_size()}, expected {size}")
    check_same_bytes(read_all(theirs)[:size], read_all(ours), f"content of {what}")
    check_same_map(clip(whole_maps(theirs, [DEPTH])[DEPTH], size),
                   whole_maps(ours, [DEPTH])[DEPTH], f"depths of {what}")
    theirs.shutdown()
    ours.shutdown()


def check_shape(work, rng, number, options, grows):
    image, snapshots = make_image(work, rng, number, options, grows)
    for snapshot in snapshots:
        for key in snapshot[:2]:
            words = by_file(work, image) | {"snapshot": key}
            check_snapshot(work, image, snapshot, words, f"snapshot '{key}' ({options})")
    today = connect(work.serve(f"json:{json.dumps(by_file(work, image))}"))
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, work.path("today.raw"))
    with open(work.path("today.raw"), "rb") as file:
        check_same_bytes(file.read(), read_all(today), f"content of today ({options})")


def test():
    rng = random.Random(SEED)
    with Workspace() as work:
        with open(work.path("base.raw"), "wb") as file:
            file.write(b"\x11" * MIB + bytes(MIB) + b"\x12" * (SIZE // 2 + MIB))
        for number, (options, grows) in enumerate(SHAPES):
            check_shape(work, rng, number, options, grows)


main(test)
