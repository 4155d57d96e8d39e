#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# mixed-every-feature-in-one-chain.py - one disk in which every feature meets: an encrypted overlay,
# over a compressed overlay with a snapshot and a bitmap, over a raw window, over an image with a
# sparse raw data file that another strata-nbd serves. QEMU reads the same chain itself.
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from mixed_case import create_image
from functions import (STRATA, Workspace, check, check_same_bytes, check_same_map, connect,
                       list_contexts, main, merge_extents, read_all, run, whole_maps)

K = 1 << 10
SIZE, WINDOW_OFFSET, WINDOW_SIZE = 4096 * K, 192 * K, 3072 * K

# From, to (KiB), base:allocation, depth, who supplies it, and how: C compressed, E encrypted,
# P past the end of a short layer.
MAP = """
0    64   3 3 far/base.qcow2
64   128  3 2 middle
128  320  0 3 far/base.qcow2
320  512  3 3 far/base.qcow2
512  640  0 1 top            E
640  832  3 3 far/base.qcow2
832  896  3 1 top
896  1024 0 3 far/base.qcow2
1024 1088 0 2 middle         C
1088 1152 0 2 middle
1152 1280 0 2 middle         C
1280 2048 3 3 far/base.qcow2
2048 2112 0 2 middle         C
2112 2880 3 3 far/base.qcow2
2880 3008 0 3 far/base.qcow2
3008 3072 3 3 far/base.qcow2
3072 3584 3 3 window         P
3584 3648 0 1 top            E
3648 4096 3 3 window         P
"""
LAYERS = ["top", "middle", "window", "far/base.qcow2"]
FLAGS = {"C": 8, "E": 16, "P": 32}

# What the bitmap says, in KiB: what was written after it was added.
BITMAP_MAP = [(0, 64, 0), (64, 64, 1), (128, 960, 0), (1088, 64, 1), (1152, 896, 0), (2048, 64, 1),
              (2112, 1984, 0)]


def filled(size, *pieces):
    """Zeros, but for (from, to, byte) in KiB."""
    content = bytearray(size)
    for start, end, byte in pieces:
        content[start * K:end * K] = bytes((byte,)) * (min(end * K, size) - start * K)
    return bytes(content)


BASE = filled(5120 * K, (256, 512, 0x11), (1024, 1280, 0x12), (3072, 3200, 0x13))
BELOW = BASE[WINDOW_OFFSET:][:WINDOW_SIZE].ljust(SIZE, b"\0")


def over(content, *pieces):
    changed = bytearray(content)
    for start, end, byte in pieces:
        changed[start * K:end * K] = bytes((byte,)) * ((end - start) * K)
    return bytes(changed)


BEFORE = over(BELOW, (1024, 1280, 0x21))
MIDDLE = over(BEFORE, (1088, 1152, 0x22), (2048, 2112, 0x23), (64, 128, 0))
TOP = over(MIDDLE, (512, 640, 0x31), (832, 896, 0), (3584, 3648, 0x32))


def write(work, name, *commands):
    """Writes to middle or top by QEMU, through the whole chain."""
    words = [word for command in commands for word in ("-c", command)]
    run("qemu-io", *work.secret, "--image-opts", work.opts[name], *words)


def make_base(work):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o",
        f"data_file={work.path('base.raw')},data_file_raw=on", work.path("base.qcow2"), "5120k")
    run("qemu-io", "-f", "qcow2", work.path("base.qcow2"), "-c", "write -q -P 0x11 256k 256k", "-c",
        "write -q -P 0x12 1M 256k", "-c", "write -q -P 0x13 3M 128k")
    return work.serve("--format", "qcow2", work.path("base.qcow2"))


def make_middle(work, window):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "json:" + json.dumps(window),
        work.path("middle.qcow2"), "4096k")
    write(work, "middle", "write -q -c -P 0x21 1M 256k")
    run("qemu-img", "snapshot", "-c", "before", work.path("middle.qcow2"))
    run("qemu-img", "bitmap", "--add", work.path("middle.qcow2"), "daily")
    write(work, "middle", "write -q -P 0x22 1088k 64k", "write -q -c -P 0x23 2M 64k",
          "write -q -z 64k 64k")


def make_top(work):
    create_image(*work.secret, "-f", "qcow2", "-o",
                 "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10", "-F", "qcow2",
                 "-b", work.path("middle.qcow2"), work.path("top.qcow2"), "4096k")
    write(work, "top", "write -q -P 0x31 512k 128k", "write -q -z 832k 64k",
          "write -q -P 0x32 3584k 64k")


def make_images(work):
    """Returns the chain in the words of blockdev-add."""
    with open(work.path("key"), "w", encoding="utf-8") as file:
        file.write("a key for this test")
    work.secret = ["--object", f"secret,id=key,file={work.path('key')}"]
    top, middle = work.path("top.qcow2"), work.path("middle.qcow2")
    work.opts = {"top": f"driver=qcow2,encrypt.key-secret=key,file.filename={top}",
                 "middle": f"driver=qcow2,file.filename={middle}"}
    far = {"driver": "nbd", "server": {"type": "unix", "path": make_base(work)}}
    window = {"driver": "raw", "offset": WINDOW_OFFSET, "size": WINDOW_SIZE, "file": far}
    make_middle(work, window)
    make_top(work)
    return {"driver": "qcow2", "node-name": "top", "file": {"driver": "file", "filename": top},
            "encrypt": {"format": "luks", "key-secret": "key"},
            "backing": {"driver": "qcow2", "node-name": "middle",
                        "file": {"driver": "file", "filename": middle},
                        "backing": {**window, "node-name": "window",
                                    "file": {**far, "node-name": "far"}}}}


def rows():
    for line in MAP.strip().splitlines():
        start, end, allocation, depth, claimant, *flags = line.split()
        start, end = int(start) * K, int(end) * K
        yield (start, end - start, int(allocation), int(depth), claimant,
               sum(FLAGS[flag] for flag in flags))


def expected(value):
    return merge_extents([(start, length, value(*rest)) for start, length, *rest in rows()])


def joint(allocation, _depth, claimant, flags):
    return allocation | 4 | flags | (LAYERS.index(claimant) + 1) << 8


def check_status(socket):
    listed = [name.removeprefix("strata:only:") for name in list_contexts(socket, "strata:only:")]
    check(listed == LAYERS, f"the layers are {listed}")
    maps = {
        "base:allocation": expected(lambda allocation, *_: allocation),
        "qemu:allocation-depth": expected(lambda _, depth, *__: depth),
        "strata:joint": expected(joint),
        "strata:above:window": expected(lambda _, __, by, *___: int(by in ("top", "middle"))),
        "qemu:dirty-bitmap:above:far": expected(lambda _, __, by, *___: int("/" not in by)),
        "strata:only:far/base.qcow2": expected(lambda _, __, by, *___: int("/" in by)),
        "qemu:dirty-bitmap:daily": [(at * K, length * K, value)
                                    for at, length, value in BITMAP_MAP],
    }
    found = whole_maps(connect(socket, list(maps)), list(maps))
    for context, wanted in maps.items():
        check_same_map(wanted, found[context], context)


def check_stock_clients(work, socket):
    """nbdcopy and qemu-img copy the disk, and leave out what is zeros."""
    uri = f"nbd+unix:///?socket={socket}"
    run("nbdcopy", uri, work.path("nbdcopy.raw"))
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, work.path("convert.raw"))
    not_zero = sum(length for _, length, allocation, *_ in rows() if allocation == 0)
    for name in ("nbdcopy.raw", "convert.raw"):
        with open(work.path(name), "rb") as file:
            check_same_bytes(TOP, file.read(), name)
        used = os.stat(work.path(name)).st_blocks * 512
        check(used <= not_zero + 64 * K, f"{name} takes {used} bytes, the data is {not_zero}")
    dirty = json.loads(run(
        "qemu-img", "map", "--output=json", "--image-opts",
        f"driver=nbd,server.type=unix,server.path={socket},"
        "x-dirty-bitmap=qemu:dirty-bitmap:daily"))
    found = [(row["start"] // K, row["length"] // K, int(not row["data"])) for row in dirty]
    check_same_map(BITMAP_MAP, found, "the bitmap by QEMU's nbd driver")


def check_qemu_agrees(work, tree):
    run("qemu-img", "convert", *work.secret, "-O", "raw", "json:" + json.dumps(tree),
        work.path("by-qemu.raw"))
    with open(work.path("by-qemu.raw"), "rb") as file:
        check_same_bytes(TOP, file.read(), "the chain as QEMU reads it")


def check_other_names(work, words):
    """Inner nodes, the snapshot, and the chain as its headers name it."""
    socket = work.serve(*words)
    for export, content in (("", TOP), ("@middle", MIDDLE), ("@middle:before", BEFORE),
                            ("@middle:1", BEFORE), ("@window", BELOW[:WINDOW_SIZE]),
                            ("@far", BASE)):
        check_same_bytes(content, read_all(connect(socket, [], export)), f"export '{export}'")
    by_headers = work.serve(*work.secret, "--allow-protocols", "nbd", "--image-opts",
                            work.opts["top"])
    check_same_bytes(TOP, read_all(connect(by_headers)), "the chain that the headers name")
    told = json.loads(run(STRATA, "map", "--json", *words))
    found = [(row["offset"], row["length"], 3 if row["zero"] else 0, row["depth"], row["layer"],
              sum(FLAGS[name[0].upper()] * row.get(name, False)
                  for name in ("compressed", "encrypted", "past-end"))) for row in told]
    merged = merge_extents([(at, length, tuple(rest)) for at, length, *rest in found])
    wanted = merge_extents([(at, length, tuple(rest)) for at, length, *rest in rows()])
    check_same_map(wanted, merged, "strata map --json")


def test():
    with Workspace() as work:
        tree = make_images(work)
        words = [*work.secret, "json:" + json.dumps(tree)]
        socket = work.serve(*words)
        check_same_bytes(TOP, read_all(connect(socket)), "content")
        check_status(socket)
        check_stock_clients(work, socket)
        check_qemu_agrees(work, tree)
        check_other_names(work, words)


main(test)
