#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""strata:leaf-offset leads to the very bytes of a range, however it is asked, and says where there are none."""
import json
import pathlib
import random

from nbd_case import MIB, Workspace, equal, run
from nbd_client import Client, EXTENDED, FLAG_REQ_ONE, OPT_LIST_META, OPT_SET_META, STRUCTURED

NOWHERE = (1 << 64) - 1
OFFSET = 65536  # of the window
SIZE = 6 * MIB - OFFSET
COMPRESSED = 1 << 3
CONTEXTS = ["strata:leaf-offset", "strata:layer", "strata:joint"]


def make_images(work):
    """A window over an overlay (written in no order, with zeros and a compressed cluster) over a raw
    file with a hole."""
    base, overlay = work.path("base.raw"), work.path("overlay.qcow2")
    with open(base, "wb") as file:
        file.write(random.randbytes(2 * MIB))
        file.seek(4 * MIB)
        file.write(random.randbytes(2 * MIB))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay, "6M")
    writes = ["-P 3 5M 192k", "-P 4 1M 64k", "-P 5 1088k 64k", "-P 6 1280k 64k", "-P 7 3M 128k",
              "-z 5308416 128k"]
    run("qemu-io", "-f", "qcow2", *(word for write in writes for word in ("-c", f"write -q {write}")),
        "-c", "write -q -c -P 8 512k 64k", overlay)
    files = {1: overlay, 2: base}
    spec = {"driver": "raw", "offset": OFFSET,
            "file": {"driver": "qcow2", "node-name": "overlay",
                     "file": {"driver": "file", "filename": overlay}}}
    return "json:" + json.dumps(spec), {
        layer: pathlib.Path(path).read_bytes() for layer, path in files.items()}


def connect(path):
    client = Client(path).use(EXTENDED)
    ids = {name: context for context, name in client.meta(OPT_SET_META, "", *CONTEXTS)}
    return client.go(), ids


def value_at(extents, offset):
    for length, value in extents:
        if offset < length:
            return value
        offset -= length
    raise IndexError(offset)


def leads_to_the_bytes(client, ids, files, content):
    """Returns the extents of the whole image."""
    answer = client.status(0, SIZE)
    places, layers, joint = (answer[ids[name]] for name in CONTEXTS)
    equal(sum(length for length, _ in places), SIZE, "the list goes to the end")
    at = 0
    for length, value in places:
        bits = value_at(joint, at)
        if value == NOWHERE:
            known = bits & COMPRESSED or not any(content[at:at + length])
            equal(bool(known), True, f"{length} bytes at {at} that are nowhere")
        else:
            layer = value_at(layers, at)
            equal(bits & COMPRESSED, 0, f"a compressed cluster at {at} lies somewhere")
            equal(files[layer][value:value + length], content[at:at + length], f"bytes of {at}")
        at += length
    return places


def does_not_depend_on_pieces(client, ids, places):
    context = ids["strata:leaf-offset"]
    starts = [0]
    for length, _ in places:
        starts.append(starts[-1] + length)
    for _ in range(200):
        offset = random.randrange(SIZE)
        length = random.randint(1, SIZE - offset)
        flags = random.choice((0, FLAG_REQ_ONE))
        found = client.status_of([context], offset, length, flags)[context]
        index = max(i for i, start in enumerate(starts[:-1]) if start <= offset)
        expected, at = [], offset
        while at < offset + length:
            value = places[index][1]
            if value != NOWHERE:
                value += at - starts[index]
            end = min(starts[index + 1], offset + length)
            expected.append((end - at, value))
            at, index = end, index + 1
        equal(found, expected[:1] if flags else expected, f"{length} bytes at {offset}, {flags}")


def only_for_those_who_can_be_told(path):
    client = Client(path).use(STRUCTURED)
    names = [name for _, name in client.meta(OPT_LIST_META, "")]
    equal("strata:leaf-offset" in names, False, "listed in replies of 32 bits")
    equal(client.meta(OPT_SET_META, "", "strata:leaf-offset", "base:allocation"),
          [(1, "base:allocation")], "selected in replies of 32 bits")
    names = [name for _, name in client.use(EXTENDED).meta(OPT_LIST_META, "", "strata:")]
    equal("strata:leaf-offset" in names, True, "listed with extended headers")
    client.close()


def main():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    with Workspace() as work:
        spec, files = make_images(work)
        path = work.serve(spec)
        client, ids = connect(path)
        content = client.read(0, SIZE)
        places = leads_to_the_bytes(client, ids, files, content)
        equal(len(places) > 8, True, f"the image has few places: {places}")
        does_not_depend_on_pieces(client, ids, places)
        client.close()
        only_for_those_who_can_be_told(path)


main()
