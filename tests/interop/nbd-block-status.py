#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Block status tells every context's value; it depends neither on the company nor on the pieces."""
import random

from nbd_case import MIB, SIZE, Workspace, equal, make_seed_images, run
from nbd_client import Client, FLAG_REQ_ONE, OPT_SET_META

# Per MiB. Layer 1 is the overlay, 2 the base; the joint value has the layer from bit 8.
VALUES = {
    "base:allocation": [0, 3, 0, 3, 3, 3, 3, 3, 3, 3],
    "qemu:allocation-depth": [2, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    "qemu:dirty-bitmap:above:base.qcow2": [0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    "qemu:dirty-bitmap:above:overlay.qcow2": [0] * 10,
    "strata:layer": [2, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    "strata:only:overlay.qcow2": [0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    "strata:only:base.qcow2": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "strata:only:overlay.qcow2-file": [0] * 10,
    "strata:above:base.qcow2": [0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    "strata:joint": [0x204, 3, 0x104, 3, 0x107, 3, 3, 3, 3, 3],
}


def extents(values):
    """[(length, value), ...], neighbours merged."""
    merged = []
    for value in values:
        if merged and merged[-1][1] == value:
            merged[-1] = (merged[-1][0] + MIB, value)
        else:
            merged.append((MIB, value))
    return merged


def connect(path, contexts):
    client = Client(path)
    client.use_structured()
    names = dict(client.meta(OPT_SET_META, "", *contexts))
    equal(sorted(names.values()), sorted(contexts), "selected contexts")
    return client.go(), names


def whole(path, contexts):
    client, names = connect(path, contexts)
    answer = client.status(0, SIZE)
    equal(answer.keys(), names.keys(), "a chunk for each context")
    for context, name in names.items():
        equal(answer[context], extents(VALUES[name]), f"{name} among {contexts}")
    client.close()


def in_pieces(path, contexts):
    client, names = connect(path, contexts)
    for _ in range(200):
        offset = random.randrange(SIZE)
        length = random.randint(1, SIZE - offset)
        flags = random.choice((0, FLAG_REQ_ONE))
        for context, found in client.status(offset, length, flags).items():
            values, at = VALUES[names[context]], offset
            where = f"{names[context]} at {offset}, {length}, flags {flags}"
            if flags:
                equal(len(found), 1, f"{where}: extents")
            for extent, value in found:
                last = at + extent - 1
                equal(set(values[at // MIB:last // MIB + 1]), {value}, where)
                at += extent
            equal(offset < at <= offset + length, True, f"{where}: the range is kept to")
            complete = at == offset + length or bool(flags) and values[at // MIB] != found[0][1]
            equal(complete, True, f"{where}: extents go as far as they can")
    client.close()


def fragmented(work):
    """Every second cluster in the overlay: one extent of data all the way, whatever the layers."""
    cluster, size = 512, 6 * MIB
    base, overlay = work.path("base.raw"), work.path("fragments.qcow2")
    with open(base, "wb") as file:
        file.write(b"b" * size)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster}", "-b", base,
        "-F", "raw", overlay)
    commands = []
    for at in range(0, size, 2 * cluster):
        commands += ["-c", f"write -q {at} {cluster}"]
    run("qemu-io", "-f", "qcow2", *commands, overlay)
    client, names = connect(work.serve(overlay), ["base:allocation", "strata:layer"])
    ids = {name: context for context, name in names.items()}
    layers = [(cluster, 1), (cluster, 2)] * (size // cluster // 2)
    answer = client.status(0, size)
    equal(answer[ids["base:allocation"]], [(size, 0)], "allocation of fragments")
    equal(answer[ids["strata:layer"]], layers, "layers of fragments")
    answer = client.status(0, size, FLAG_REQ_ONE)
    equal(answer[ids["base:allocation"]], [(size, 0)], "one extent of allocation")
    equal(answer[ids["strata:layer"]], layers[:1], "one extent of layers")
    client.close()


def main():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    with Workspace() as work:
        path = work.serve(make_seed_images(work))
        for name in VALUES:
            whole(path, [name])
        for count in (2, 3, len(VALUES)):
            whole(path, random.sample(list(VALUES), count))
        in_pieces(path, random.sample(list(VALUES), len(VALUES)))
        in_pieces(path, ["strata:joint"])
        fragmented(work)


main()
