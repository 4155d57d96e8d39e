#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dirty bitmaps are contexts: QEMU's values on plain chains, moved below windows, beside all other
contexts; those in use and those damaged are neither clean nor dirty."""
import json
import random
import re
import struct
import subprocess

import nbd

from nbd_case import MIB, Workspace, check, equal, run
from nbd_client import BLOCK_STATUS, Client, EIO, OPT_SET_META, error_of

from functions import (STRATA_NBD, block_status, connect, list_contexts, merge_extents, read_text,
                       wait_for_log, wait_until, whole_maps)

SIZE = 10 * MIB
LONG = "b" * 1023
NAMES = ["fine", "off", "with space, and 日", LONG, "above:nobody"]
PREFIX = "qemu:dirty-bitmap:"
EXTENSION = 0x23852875


def write_somewhere(image, count):
    commands = []
    for _ in range(count):
        length = random.choice((512, 4096, 65536, 300000 // 512 * 512))
        offset = random.randrange((SIZE - length) // 512) * 512
        commands += ["-c", f"write -q -P {random.randrange(256)} {offset} {length}"]
    run("qemu-io", "-f", "qcow2", *commands, image)


def make_chain(work):
    """base with a bitmap of its own, overlay with one for each of NAMES; written between them."""
    base, overlay = work.path("base.qcow2"), work.path("overlay.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, str(SIZE))
    run("qemu-img", "bitmap", "--add", "-g", "64k", base, "of base")
    run("qemu-img", "bitmap", "--add", base, "fine")  # hidden by that of the overlay
    write_somewhere(base, 6)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    for name in NAMES:
        # Coarser bits might all be dirty after so many writes.
        granularity = "512" if name == "fine" else random.choice(("4k", "64k"))
        run("qemu-img", "bitmap", "--add", "-g", granularity, overlay, name)
        write_somewhere(overlay, 4)
    run("qemu-img", "bitmap", "--disable", overlay, "off")
    run("qemu-img", "bitmap", "--add", overlay, "above:base.qcow2")  # hidden by the layers
    write_somewhere(overlay, 3)
    return overlay


def options_of(image):
    return f"driver=qcow2,file.driver=file,file.filename={image}"


def map_of(socket, context):
    return whole_maps(connect(socket, [context]), [context])[context]


def moved(extents, offset, size):
    """The map of a window."""
    cut = []
    for start, length, value in extents:
        first, last = max(start, offset), min(start + length, offset + size)
        if first < last:
            cut.append((first - offset, last - first, value))
    return cut


def equals_qemu(work, overlay):
    """Returns the maps, which are QEMU's, by the names of the bitmaps."""
    names = NAMES + ["of base"]
    ours = work.serve(overlay)
    bitmaps = [word for name in names for word in ("-B", name)]
    qemu = work.serve_with_qemu(*bitmaps, "-f", "qcow2", overlay)
    equal(list_contexts(ours, PREFIX), [PREFIX + name for name in
          ["above:overlay.qcow2", "above:base.qcow2"] + names], "the list of dirty bitmaps")
    maps = {name: map_of(qemu, PREFIX + name) for name in names}
    for name in names:
        check(len(maps[name]) > 1, f"all is dirty in {name}, or nothing")
        equal(map_of(ours, PREFIX + name), maps[name], f"bitmap {name[:20]}")
    equal(map_of(ours, PREFIX + "above:base.qcow2"), map_of(ours, "strata:above:base.qcow2"),
          "above:base.qcow2 is the question about layers")
    for name in ("fine", "of base"):
        words = [json.loads(run("qemu-img", "map", "--output=json", "--image-opts",
                                "driver=nbd,server.type=unix,server.path="
                                f"{socket},x-dirty-bitmap={PREFIX}{name}"))
                 for socket in (ours, qemu)]
        equal(words[0], words[1], f"qemu-img map with the bitmap {name}")
    return maps


def below_windows(work, overlay, maps):
    for _ in range(3):
        offset = random.randrange(SIZE // 1024) * 512
        size = random.randrange(1, (SIZE - offset) // 512) * 512
        inner = random.randrange(offset // 512 + 1) * 512
        socket = work.serve("--image-opts", f"driver=raw,offset={offset - inner},size={size},"
                            f"file.driver=raw,file.offset={inner},file.file.driver=qcow2,"
                            f"file.file.file.driver=file,file.file.file.filename={overlay}")
        for name, whole in maps.items():
            equal(map_of(socket, PREFIX + name), moved(whole, offset, size),
                  f"bitmap {name[:20]} below a window at {offset}, {size} bytes")


def above_a_longer_node(work, overlay, maps):
    """What lies beyond the image that keeps the bitmap is clean."""
    longer = work.path("longer.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "overlay.qcow2", "-F", "qcow2", longer,
        "12M")
    socket = work.serve(longer)
    for name, whole in maps.items():
        equal(map_of(socket, PREFIX + name), merge_extents(whole + [(SIZE, 2 * MIB, 0)]),
              f"bitmap {name[:20]} below a longer overlay")


def all_at_once(work, overlay):
    """No context's values depend on the others', nor on the pieces."""
    socket = work.serve(overlay)
    contexts = [name for name in list_contexts(socket, "qemu:") + list_contexts(socket, "strata:")
                + list_contexts(socket, "base:")]
    alone = {name: map_of(socket, name) for name in contexts}
    equal(whole_maps(connect(socket, contexts), contexts), alone, "all contexts at once")
    handle = connect(socket, random.sample(contexts, len(contexts)))
    for _ in range(100):
        offset = random.randrange(SIZE)
        length = random.randint(1, SIZE - offset)
        flags = random.choice((0, nbd.CMD_FLAG_REQ_ONE))
        for name, found in block_status(handle, length, offset, flags).items():
            covered = found[-1][0] + found[-1][1] - offset
            equal([(at - offset, size, value) for at, size, value in found],
                  moved(alone[name], offset, covered), f"{name} at {offset}, {length}, {flags}")
            if flags:
                whole = moved(alone[name], offset, length)
                equal(covered, whole[0][1], f"one extent of {name}, as far as it goes")


def incremental_backup(work, overlay):
    """What QEMU shows as dirty, copied onto the disk as it was, makes the disk as it is."""
    backup, now = work.path("backup.raw"), work.path("now.raw")
    run("qemu-img", "bitmap", "--add", overlay, "since the backup")
    run("qemu-img", "convert", "-O", "raw", overlay, backup)
    write_somewhere(overlay, 8)
    run("qemu-img", "convert", "-O", "raw", overlay, now)
    socket = work.serve(overlay)
    dirty = json.loads(run("qemu-img", "map", "--output=json", "--image-opts",
                           f"driver=nbd,server.type=unix,server.path={socket},"
                           f"x-dirty-bitmap={PREFIX}since the backup"))
    handle = connect(socket)
    with open(backup, "r+b") as file:
        for extent in dirty:
            if not extent["data"]:
                file.seek(extent["start"])
                file.write(handle.pread(extent["length"], extent["start"]))
    run("cmp", backup, now)


def alternating(work):
    image, bit = work.path("alternating.qcow2"), 512
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "4G")
    run("qemu-img", "bitmap", "--add", "-g", str(bit), image, "b")
    commands = [word for i in range(1000) for word in ("-c", f"write -q {2 * i * bit} {bit}")]
    run("qemu-io", "-f", "qcow2", *commands, image)
    expected = [(i * bit, bit, 1 - i % 2) for i in range(1999)]
    expected += [(1999 * bit, (1 << 32) - 1999 * bit, 0)]
    socket = work.serve(image)
    equal(map_of(socket, PREFIX + "b"), expected, "alternating bits")
    handle = connect(socket, [PREFIX + "b"])
    for offset, length, value in random.sample(expected[:-1], 100):
        equal(block_status(handle, 4 * MIB, offset, nbd.CMD_FLAG_REQ_ONE),
              {PREFIX + "b": [(offset, length, value)]}, "one extent of alternating bits")


def in_use(work, overlay):
    """As a VM leaves them that was killed."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q 0 64k", "-c", "sigraise 9", overlay],
                   check=False, capture_output=True)
    socket, process = work.serve_process(overlay)
    equal(list_contexts(socket, PREFIX)[2:], [PREFIX + "of base"], "what is not in use")
    client = Client(socket)
    client.use_structured()
    equal(client.meta(OPT_SET_META, "", PREFIX + "fine", "base:allocation"),
          [(1, "base:allocation")], "what is selected of one in use")
    client.close()
    why = ("connection 2 from unix uid [0-9]+ pid [0-9]+: NBD_OPT_SET_META_CONTEXT: the bitmap "
           "'fine' of node 'overlay.qcow2' is in use: ")
    wait_until(lambda: re.search(why, read_text(process.log)), f"'{why}' in the log")
    done = subprocess.run([STRATA_NBD, "--run", "true", "-B", "of base", "--bitmap=fine", overlay],
                          capture_output=True, text=True, check=False)
    equal((done.returncode, done.stdout), (1, ""), "status of --bitmap with one in use")
    check(done.stderr.startswith("strata-nbd: --bitmap: 'fine' of node 'overlay.qcow2' is in use"),
          f"--bitmap says {done.stderr}")


def damage_bitmap(image, index):
    """Sets reserved bits in an entry of the bitmap's table (qcow2 specification, "Bitmaps")."""
    with open(image, "r+b") as file:
        header = file.read(512)
        at = struct.unpack(">I", header[100:104])[0]
        while struct.unpack(">I", header[at:at + 4])[0] != EXTENSION:
            at += 8 + (struct.unpack(">I", header[at + 4:at + 8])[0] + 7 & ~7)
        directory = struct.unpack(">Q", header[at + 24:at + 32])[0]
        file.seek(directory)
        file.seek(struct.unpack(">Q", file.read(8))[0] + 8 * index)
        file.write(struct.pack(">Q", 1 << 60 | 2))


def damaged(work):
    """One entry of a table is two MiB of bits; the rest of the bitmap, and all else, is well."""
    image = work.path("damaged.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", image, str(SIZE))
    run("qemu-img", "bitmap", "--add", "-g", "512", image, "b")
    run("qemu-io", "-f", "qcow2", "-c", f"write -q 0 {SIZE}", image)
    damage_bitmap(image, 2)
    socket, process = work.serve_process(image)
    client = Client(socket)
    client.use_structured()
    ids = {name: number for number, name
           in client.meta(OPT_SET_META, "", "base:allocation", PREFIX + "b")}
    client.go()
    equal(client.status(0, SIZE)[ids[PREFIX + "b"]], [(4 * MIB, 1)], "up to the damage")
    equal(client.status(0, SIZE)[ids["base:allocation"]][0][1], 0, "allocation beside it")
    error, message, _ = error_of(client.command(BLOCK_STATUS, 5 * MIB, MIB))
    equal(error, EIO, "status in the damage")
    check(message.startswith(PREFIX + "b: ") and "damaged.qcow2" in message,
          f"the message is {message}")
    wait_for_log(process, f"NBD_CMD_BLOCK_STATUS of 1048576 bytes at 0x500000: {PREFIX}b: ")
    equal(client.status(6 * MIB, MIB)[ids[PREFIX + "b"]], [(MIB, 1)], "behind the damage")
    client.close()
    equal(map_of(socket, "base:allocation"), [(0, SIZE, 0)], "allocation without the bitmap")


def main():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    with Workspace() as work:
        overlay = make_chain(work)
        maps = equals_qemu(work, overlay)
        below_windows(work, overlay, maps)
        above_a_longer_node(work, overlay, maps)
        all_at_once(work, overlay)
    with Workspace() as work:
        incremental_backup(work, make_chain(work))
        alternating(work)
        damaged(work)
    with Workspace() as work:
        in_use(work, make_chain(work))


main()
