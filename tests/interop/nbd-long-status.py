#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Block status of which one reply cannot tell all: no extent is lost or told wrongly where a reply
ends, whoever shares it, and each reply tells a good part of what it has room for."""
import os
import struct

from nbd_case import MIB, Workspace, check, equal, run
from nbd_client import Client, EXTENDED, OPT_SET_META, STRUCTURED

CLUSTER = 512
N_CLUSTERS = 150000 // 16 * 16
SIZE = N_CLUSTERS * CLUSTER
REPLY = MIB  # what a reply has room for, all contexts together
BITMAP = "qemu:dirty-bitmap:often"


def make_images(work):
    """Every second cluster is the base's: as many extents as clusters. Of a bitmap, whose bits are
    for 4 KiB, every second is set."""
    base, top = work.path("base.raw"), work.path("top.qcow2")
    run("truncate", "-s", str(SIZE), base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", "-o",
        f"cluster_size={CLUSTER}", top)
    run("qemu-img", "bitmap", "--add", "-g", "4k", top, "often")
    words = [word for at in range(0, SIZE, 8192) for word in ("-c", f"write -q -z {at} 4k")]
    run("qemu-io", "-t", "unsafe", "-f", "qcow2", *words, top)
    with open(top, "r+b") as file:
        header = struct.unpack(">4sIQIIQIIQ", file.read(48))
        n_tables, l1_at = header[7], header[8]
        at = os.fstat(file.fileno()).st_size + 511 & ~511
        tables = []
        file.seek(at)
        for _ in range(n_tables):  # QCOW_OFLAG_ZERO; each table has an entry for 64 clusters
            tables.append(at | 1 << 63)
            at += file.write(struct.pack(">64Q", *[1, 0] * 32))
        file.seek(l1_at)
        file.write(struct.pack(f">{n_tables}Q", *tables))
    return top


def first_turn(name):
    """What the context says of two clusters at the beginning, as (length, value)."""
    top, base = {"qemu:allocation-depth": (1, 2), "strata:layer": (1, 2),
                 "strata:only:top.qcow2": (1, 0), "strata:only:base.raw": (0, 1)}[name]
    return [(CLUSTER, top), (CLUSTER, base)]


def add(found, extents, end):
    """Adds what of @extents lies before @end to the merged list @found."""
    at = 0
    for length, value in extents:
        length = min(length, end - at)
        if length <= 0:
            return
        if found and found[-1][1] == value:
            found[-1] = (found[-1][0] + length, value)
        else:
            found.append((length, value))
        at += length


def connect(path, mode, names, export=""):
    client = Client(path)
    client.use(mode)
    client.meta(OPT_SET_META, export, *names)
    equal(sorted(client.contexts.values()), sorted(names), "contexts")
    return client.go(export)


def whole_maps(client):
    """Returns {name: extents}, and how many replies it took."""
    maps = {name: [] for name in client.contexts.values()}
    at = n_replies = 0
    while at < client.size:
        answer = client.status(at, client.size - at)
        ends = {key: sum(length for length, _ in extents) for key, extents in answer.items()}
        check(min(ends.values()) > 0, f"a context tells nothing at {at}")
        for key, extents in answer.items():
            add(maps[client.contexts[key]], extents, min(ends.values()))
        at += min(ends.values())
        n_replies += 1
    client.close()
    return maps, n_replies


def check_maps(path, mode, names, most_replies):
    maps, n_replies = whole_maps(connect(path, mode, names))
    for name, found in maps.items():
        if name == "base:allocation":
            equal(found, [(SIZE, 3)], f"{name} among {names}")
        elif name == BITMAP:
            equal(found, [(4096, 1), (4096, 0)] * (SIZE // 8192), f"{name} among {names}")
        else:
            equal(found, first_turn(name) * (N_CLUSTERS // 2), f"{name} among {names}")
    check(n_replies <= most_replies, f"{names}: {n_replies} replies instead of {most_replies}")


def longer_than_a_reply(path):
    for mode, size in (STRUCTURED, 8), (EXTENDED, 16):
        extents = REPLY // size * 0.9
        check_maps(path, mode, ["qemu:allocation-depth"], N_CLUSTERS // extents + 1)
        # Whoever has little to tell leaves the room to the other.
        check_maps(path, mode, ["base:allocation", "strata:layer"], N_CLUSTERS // extents + 1)
        check_maps(path, mode, ["strata:only:top.qcow2", "qemu:allocation-depth"],
                   2 * N_CLUSTERS // extents + 1)
        # A bitmap is asked after the others, and gets its share.
        check_maps(path, mode, [BITMAP, "qemu:allocation-depth", "strata:only:base.raw"],
                   3 * N_CLUSTERS // extents + 1)


def many_contexts(work):
    """More lists than pieces of the usual size could be shared by: each has to begin."""
    n_layers, n_clusters, backing = 12, 600, []
    for i in reversed(range(n_layers)):
        image = work.path(f"layer{i}.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={CLUSTER}", *backing,
            image, str(n_clusters * CLUSTER))
        words = [word for at in range(i, n_clusters, n_layers)
                 for word in ("-c", f"write -q -z {at * CLUSTER} {CLUSTER}")]
        run("qemu-io", "-t", "unsafe", "-f", "qcow2", *words, image)
        backing = ["-b", image, "-F", "qcow2"]
    names = [f"{kind}:layer{i}.qcow2{end}" for i in range(n_layers) for end in ("", "-file")
             for kind in ("strata:only", "strata:above", "qemu:dirty-bitmap:above")]
    for mode in STRUCTURED, EXTENDED:
        maps, n_replies = whole_maps(connect(work.serve(image), mode, names))
        equal(n_replies, 1, "replies")
        for i in range(n_layers):
            only, above = [], []
            for at in range(n_clusters):
                add(only, [(CLUSTER, int(at % n_layers == i))], CLUSTER)
                add(above, [(CLUSTER, int(at % n_layers < i))], CLUSTER)
            equal(maps[f"strata:only:layer{i}.qcow2"], only, f"only layer {i}")
            equal(maps[f"strata:above:layer{i}.qcow2"], above, f"above layer {i}")
            equal(maps[f"qemu:dirty-bitmap:above:layer{i}.qcow2"], above, f"above layer {i}")


def longest_narrow_extent(work):
    """4 GiB less a byte cannot be one extent of a multiple of 4096 bytes; so the answer ends."""
    image = work.path("wide.raw")
    run("truncate", "-s", "8G", image)
    path = work.serve("--format=raw", image)
    client = connect(path, STRUCTURED, ["base:allocation"])
    for offset in 0, 4096, 12345:
        equal(list(client.status(offset, 2**32 - 1).values()), [[(0xfffff000, 3)]], "narrow")
    client.close()
    client = connect(path, EXTENDED, ["base:allocation"])
    equal(list(client.status(4096, 2**33 - 4096).values()), [[(2**33 - 4096, 3)]], "wide")
    client.close()


with Workspace() as work:
    longer_than_a_reply(work.serve(make_images(work)))
    many_contexts(work)
    longest_narrow_extent(work)
