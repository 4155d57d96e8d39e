#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cannot be read is EIO for that range, with a message and a log line; the rest serves."""
import struct

from nbd_case import CONTENT, MIB, SIZE, Workspace, check, equal, make_seed_images
from nbd_client import (BLOCK_STATUS, Client, EIO, OPT_SET_META, READ, error_of,
                        put_together)
from functions import read_text, wait_until

GUEST = 2 * MIB + 65536  # the second data cluster of the overlay
CLUSTER = 65536


def damage(image):
    """Lets the L2 entry for GUEST point to where no cluster can begin."""
    with open(image, "r+b") as file:
        file.seek(40)
        l1 = struct.unpack(">Q", file.read(8))[0]
        file.seek(l1)
        l2 = struct.unpack(">Q", file.read(8))[0] & 0x00fffffffffffe00
        file.seek(l2 + GUEST // CLUSTER * 8)
        file.write(struct.pack(">Q", 1 << 63 | 0x50200))


def structured(path):
    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "", "base:allocation")
    client.go()
    chunks = client.command(READ, MIB, 4 * MIB)
    error, message, at = error_of(chunks)
    equal((error, at), (EIO, GUEST), "the error and where it is")
    check("overlay.qcow2" in message and "0x" in message, f"message without place: {message}")
    length = GUEST - MIB
    equal(put_together(chunks[:-1], MIB, length)[0], CONTENT[MIB:GUEST], "what came before")
    equal(error_of(client.command(READ, GUEST, 512))[::2], (EIO, GUEST), "the range itself")
    after = GUEST + CLUSTER
    data, _ = put_together(client.command(READ, after, SIZE - after), after, SIZE - after)
    equal(data, CONTENT[after:], "what comes after")
    equal(client.status(0, SIZE)[1], [(MIB, 0), (MIB, 3), (CLUSTER, 0)], "status ends before")
    equal(error_of(client.command(BLOCK_STATUS, GUEST, 512))[0], EIO, "status of the range")
    equal(client.status(after, MIB - 2 * CLUSTER)[1], [(MIB - 2 * CLUSTER, 0)], "status after")
    client.close()


def simple(path):
    client = Client(path).go()
    equal(client.simple(READ, MIB, 4 * MIB), (EIO, b""), "a simple read fails as a whole")
    equal(client.simple(READ, 0, MIB), (0, CONTENT[:MIB]), "and the next one is well")
    client.close()


def log(process):
    for command in ("READ", "BLOCK_STATUS"):
        wanted = ("connection 1 from unix uid ", f": NBD_CMD_{command} of 512 bytes at 0x210000: ",
                  "overlay.qcow2")
        wait_until(lambda: any(all(part in line for part in wanted)
                               for line in read_text(process.log).splitlines()),
                   f"a line of the log with {wanted}")


def flood(path, process):
    client = Client(path).go()
    for _ in range(1000):
        equal(client.simple(READ, GUEST, 512)[0], EIO, "again")
    client.close()
    with open(process.log, encoding="utf-8") as file:
        check(len(file.read().splitlines()) < 200, "a client may flood the log")


def hidden_layers(work, image):
    """Where layers are hidden, the log alone names nodes and files."""
    config = work.path("exports.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[disk]\nimage = {image}\nformat = qcow2\nlayers = off\n")
    path, process = work.serve_process("--config", config)
    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "disk", "base:allocation")
    client.go("disk")
    for command in (READ, BLOCK_STATUS):
        error, message, _ = error_of(client.command(command, GUEST, 512))
        equal(error, EIO, "a damaged range")
        check("qcow2" not in message and "overlay" not in message, f"what is told: {message}")
    client.close()
    log(process)


with Workspace() as work:
    image = make_seed_images(work)
    damage(image)
    path, process = work.serve_process(image)
    structured(path)
    simple(path)
    log(process)
    flood(path, process)
    hidden_layers(work, image)
