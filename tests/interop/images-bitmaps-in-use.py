#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bitmap whose writer was killed, or whose image was written to by a program that knows no
bitmaps, tells nothing: it is not offered, whoever asks for it is told why, and the disk is served."""
import json
import pathlib
import subprocess
import sys
import time

import nbd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import (STRATA, STRATA_NBD, Workspace, check, check_same_map, connect,
                       list_contexts, main, read_text, run, stop, whole_maps)

MIB = 1 << 20
PREFIX = "qemu:dirty-bitmap:"
AUTOCLEAR_AT = 88
BITMAPS_EXTENSION = 0x23852875


def make_image(work, name):
    image = work.path(name)
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "8M")
    run("qemu-img", "bitmap", "--add", image, "recording")
    run("qemu-img", "bitmap", "--add", "--disable", image, "at rest")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 1M", image)
    return image


def kill_a_writer(work, image):
    """A daemon opens the image to write, writes, and is killed."""
    socket = work.socket()
    writer = work.start_with_pid_file(
        socket + ".pid", "qemu-storage-daemon", "--pidfile", socket + ".pid",
        "--blockdev", json.dumps({"driver": "qcow2", "node-name": "disk", "file":
                                  {"driver": "file", "filename": image}}),
        "--nbd-server", f"addr.type=unix,addr.path={socket}",
        "--export", "type=nbd,id=e,node-name=disk,name=,writable=on")
    handle = connect(socket)
    handle.pwrite(b"x" * 65536, 4 * MIB)
    handle.flush()
    writer.kill()
    writer.wait()
    deadline = time.monotonic() + 30
    while subprocess.run(["qemu-img", "info", image], capture_output=True).returncode:
        check(time.monotonic() < deadline, "the killed writer's locks are still there")
        time.sleep(0.01)


def edit(image, change):
    with open(image, "r+b") as file:
        content = bytearray(file.read())
        change(content)
        file.seek(0)
        file.write(content)


def directory_field(content):
    """Where the header says where the directory is."""
    return content.index(BITMAPS_EXTENSION.to_bytes(4, "big")) + 8 + 16


def check_refused(image, bitmap, *words):
    done = subprocess.run([STRATA_NBD, "--run", "true", "--format=qcow2", "-B", bitmap, image],
                          capture_output=True, stdin=subprocess.DEVNULL)
    text = done.stderr.decode()
    check(0 < done.returncode < 99, f"-B {bitmap} of {image} ended with {done.returncode}: {text}")
    for word in words:
        check(word in text, f"-B {bitmap} says '{text}', not '{word}'")


def check_served_without(work, image, offset, offered=()):
    """The disk is there, and of its bitmaps only those are offered."""
    socket, server = work.serve_process("--format=qcow2", image)
    check(bytes(connect(socket).pread(1, offset)) in (b"x", b"\x07"), "the disk is not the same")
    names = [name for name in list_contexts(socket, PREFIX) if ":above:" not in name]
    check(names == [PREFIX + name for name in offered], f"offered: {names}")
    stop(server)


def test_killed_writer(work):
    image = make_image(work, "killed.qcow2")
    kill_a_writer(work, image)
    check_refused(image, "recording", "'recording'", "is in use")
    check_refused(image, "at rest", "'at rest'", "is in use")
    check_served_without(work, image, 4 * MIB)


def test_repaired(work):
    """Who removes what cannot be trusted and begins anew has a bitmap again."""
    image = work.path("killed.qcow2")
    for name in ("recording", "at rest"):
        run("qemu-img", "bitmap", "--remove", image, name)
    run("qemu-img", "bitmap", "--add", image, "recording")
    run("qemu-io", "-f", "qcow2", "-c", "write -q 2M 64k", image)
    socket = work.serve("--format=qcow2", image)
    context = PREFIX + "recording"
    check_same_map([(0, 2 * MIB, 0), (2 * MIB, 65536, 1), (2 * MIB + 65536, 6 * MIB - 65536, 0)],
                   whole_maps(connect(socket, [context]), [context])[context], context)


def test_unknown_to_a_writer(work):
    """Autoclear bit 0 is clear: whoever wrote last did not know the extension."""
    image = make_image(work, "stale.qcow2")

    def clear(content):
        content[AUTOCLEAR_AT + 7] &= ~1

    edit(image, clear)
    check_refused(image, "recording", "recording")
    check_served_without(work, image, MIB)


def test_damaged_directory(work):
    image = make_image(work, "damaged.qcow2")

    def lead_astray(content):
        at = directory_field(content)
        content[at:at + 8] = (1 << 40).to_bytes(8, "big")

    edit(image, lead_astray)
    check_refused(image, "recording", "recording")
    check_served_without(work, image, MIB)


def test_damaged_entry(work):
    """One of two: the other is as good as before."""
    image = make_image(work, "entry.qcow2")

    def change_type(content):
        at = directory_field(content)
        directory = int.from_bytes(content[at:at + 8], "big")
        entry = content.index(b"recording", directory) - 24
        content[entry + 16] = 9

    edit(image, change_type)
    check_refused(image, "recording", "recording", "not of type 1")
    check_served_without(work, image, MIB, ["at rest"])
    bitmaps = json.loads(run(STRATA, "info", "--json", image))["nodes"][0]["bitmaps"]
    check([(bitmap["name"], bitmap["in-use"], bitmap.get("damage")) for bitmap in bitmaps]
          == [("recording", False, "is not of type 1 (dirty tracking)"), ("at rest", False, None)],
          f"strata info tells of {bitmaps}")
    text = run(STRATA, "info", image)
    check("type 1 (dirty tracking): it cannot be trusted" in text, f"strata info says {text}")
    done = subprocess.run([STRATA, "map", "--bitmap", "recording", image], capture_output=True)
    check(done.returncode == 1 and b"'recording' is not of type 1" in done.stderr,
          f"strata map --bitmap: {done}")


def make_overlay(work, name):
    """Has a bitmap called as one of its base is, which knows nothing of what is written here."""
    overlay = work.path(name)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    run("qemu-img", "bitmap", "--add", overlay, "recording")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 1M", overlay)
    return overlay


def reserve_a_flag(content):
    at = directory_field(content)
    directory = int.from_bytes(content[at:at + 8], "big")
    content[directory + 15] |= 0x80


def forget_the_bitmaps(content):
    content[AUTOCLEAR_AT + 7] &= ~1


def lose_the_directory(content):
    at = directory_field(content)
    content[at:at + 8] = (1 << 40).to_bytes(8, "big")


def test_namesake_below(work):
    """What is refused above does not uncover the clean bits of a namesake below."""
    make_image(work, "base.qcow2")
    for number, (change, offered) in enumerate([(reserve_a_flag, ["at rest"]),
                                                (forget_the_bitmaps, []),
                                                (lose_the_directory, [])]):
        overlay = make_overlay(work, f"overlay{number}.qcow2")
        edit(overlay, change)
        check_refused(overlay, "recording", "'recording'")
        check_served_without(work, overlay, MIB, offered)
        socket, server = work.serve_process("--format=qcow2", overlay)
        names = list_contexts(socket, PREFIX, export="@base.qcow2")
        check([name for name in names if ":above:" not in name]
              == [PREFIX + "recording", PREFIX + "at rest"], f"of the base: {names}")
        client = nbd.NBD()
        client.add_meta_context(PREFIX + "recording")
        client.connect_unix(socket)
        check(not client.can_meta_context(PREFIX + "recording"), "the namesake below is offered")
        stop(server)
        log = read_text(server.log)
        check((change is reserve_a_flag) ==
              ("'recording' of node" in log and "has flags that are reserved" in log),
              f"the log says {log}")


def test():
    with Workspace() as work:
        test_killed_writer(work)
        test_repaired(work)
        test_unknown_to_a_writer(work)
        test_damaged_directory(work)
        test_damaged_entry(work)
        test_namesake_below(work)


main(test)
