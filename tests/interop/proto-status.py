#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Block status: the same map with 32 and 64 bits, by any contexts, and where bytes lie."""
import json
import random
import struct

from nbd_client import (
    BLOCK_STATUS, EINVAL, EXTENDED, FLAG_PAYLOAD_LEN, FLAG_REQ_ONE, STRUCTURED, error_of)
from proto_case import Link, MIB, SIZE, equal, main, make_seed_images, play, rule, run

NAMES = ["base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint"]
VALUES = {"base:allocation": [0, 3, 0, 3, 3, 3, 3, 3, 3, 3],  # per MiB
          "qemu:allocation-depth": [2, 0, 1, 0, 1, 0, 0, 0, 0, 0],
          "strata:layer": [2, 0, 1, 0, 1, 0, 0, 0, 0, 0],
          "strata:joint": [0x204, 3, 0x104, 3, 0x107, 3, 3, 3, 3, 3]}
LEAF = "strata:leaf-offset"
NOWHERE = (1 << 64) - 1
GIB = 1 << 30
BIG = 20 * GIB
DATA_AT = 9 * GIB


def extents_of(name, offset, length):
    """[(length, value), ...] by the table above."""
    extents, end = [], offset + length
    while offset < end:
        value = VALUES[name][offset // MIB]
        step = min(end, (offset // MIB + 1) * MIB) - offset
        if extents and extents[-1][1] == value:
            step += extents.pop()[0]
        extents.append((step, value))
        offset += min(end, (offset // MIB + 1) * MIB) - offset
    return extents


def by_name(client, answer):
    return {client.contexts[context]: extents for context, extents in answer.items()}


@rule("NBD_REPLY_TYPE_BLOCK_STATUS_EXT", "the same map as with 32 bits")
@rule("NBD_CMD_BLOCK_STATUS", "one chunk for each selected context, consecutive from the offset")
def same_map_with_32_and_64_bits(link):
    random.seed(4)
    clients = [link.transmit(mode, "", NAMES) for mode in (STRUCTURED, EXTENDED)]
    ranges = [(0, SIZE), (SIZE - 1, 1), (0, 1), (MIB - 1, 2)]
    ranges += [(at, random.randint(1, SIZE - at)) for at in random.sample(range(SIZE), 40)]
    for offset, length in ranges:
        for client in clients:
            equal(by_name(client, client.status(offset, length)),
                  {name: extents_of(name, offset, length) for name in NAMES},
                  f"{client.mode}: {offset} {length}")
            one = by_name(client, client.status(offset, length, FLAG_REQ_ONE))
            equal(one, {name: extents_of(name, offset, length)[:1] for name in NAMES}, "REQ_ONE")
    for client in clients:
        client.close()


@rule("NBD_CMD_FLAG_PAYLOAD_LEN", "a block status may choose among the contexts, in any order")
def chosen_contexts(link):
    random.seed(5)
    client = link.transmit(EXTENDED, "", NAMES)
    ids = list(client.contexts)
    for count in range(1, len(ids) + 1):
        for _ in range(10):
            chosen = random.sample(ids, count)
            offset = random.randrange(SIZE)
            length = random.randint(1, SIZE - offset)
            flags = random.choice((0, FLAG_REQ_ONE))
            found = client.status_of(chosen, offset, length, flags)
            expected = {context: extents_of(client.contexts[context], offset, length)
                        for context in chosen}
            if flags:
                expected = {context: extents[:1] for context, extents in expected.items()}
            equal(found, expected, f"{chosen} {offset} {length} {flags}")
    client.close()


def refused(client, payload, what, offset=0):
    """A payload that gets NBD_EINVAL, after which the connection goes on."""
    chunks = client.command(BLOCK_STATUS, offset, len(payload), FLAG_PAYLOAD_LEN, payload)
    equal(error_of(chunks)[0], EINVAL, what)


@rule("NBD_CMD_BLOCK_STATUS", "8 + n * 4 bytes of payload, ids known and no twice, or NBD_EINVAL")
def wrong_payloads(link):
    client = link.transmit(EXTENDED, "", NAMES)
    first, second = list(client.contexts)[:2]
    good = struct.pack(">QI", MIB, first)
    for length in list(range(1, 8)) + [9, 10, 11, 13]:
        refused(client, (good + good)[:length], f"a payload of {length} bytes")
    for ids in ((first, first), (first, second, first), (0,), (99,), (first, 99), (0xffffffff,),
                (first,) * 100, tuple(range(1, 5000)), (first ^ 1 << 31,)):
        refused(client, struct.pack(f">Q{len(ids)}I", MIB, *ids), f"ids {ids[:5]}")
    for offset, length in ((0, 0), (0, SIZE + 1), (SIZE, 1), (MIB, NOWHERE), (0, 1 << 32),
                           (NOWHERE, 2), (SIZE, 0)):
        refused(client, struct.pack(">QI", length, first), f"{offset} {length}", offset)
    equal(client.status_of([first], 0, MIB), {first: [(MIB, 0)]}, "a good one after them")
    client.close()


@rule("NBD_CMD_BLOCK_STATUS", "a choice of no context at all")
def empty_choice(link):
    client = link.transmit(EXTENDED, "", NAMES)
    payload = struct.pack(">Q", MIB)
    chunks = client.command(BLOCK_STATUS, 0, 8, FLAG_PAYLOAD_LEN, payload)
    equal(error_of(chunks)[0], EINVAL, "nothing is chosen")
    equal(by_name(client, client.status(0, MIB))["base:allocation"], [(MIB, 0)], "and on")
    client.close()


@rule("NBD_CMD_FLAG_PAYLOAD_LEN", "only contexts that were selected can be chosen")
def choice_without_selection(link):
    client = link.transmit(EXTENDED)
    refused(client, struct.pack(">QI", MIB, 1), "no context was selected")
    client.close()


@rule("NBD_REPLY_TYPE_BLOCK_STATUS_EXT", "an extent may be longer than 4 GiB")
@rule("NBD_REPLY_TYPE_BLOCK_STATUS", "with 32 bits extents are pieces, and go on where they end")
def large_extents(link):
    wide = link.big.transmit(EXTENDED, "", ("base:allocation",))
    first = next(iter(wide.contexts))
    expected = [(DATA_AT, 3), (MIB, 0), (BIG - DATA_AT - MIB, 3)]
    equal(wide.status(0, BIG)[first], expected, "the whole map in a reply")
    equal(wide.status_of([first], 0, BIG)[first], expected, "by a payload")
    equal(wide.status(0, BIG, FLAG_REQ_ONE)[first], expected[:1], "REQ_ONE")
    equal(wide.status(6 * GIB, 5 * GIB)[first],
          [(3 * GIB, 3), (MIB, 0), (2 * GIB - MIB, 3)], "a part")
    wide.close()
    narrow = link.big.transmit(STRUCTURED, "", ("base:allocation",))
    first, found, at = next(iter(narrow.contexts)), [], 0
    while at < BIG:
        for length, value in narrow.status(at, min(BIG - at, 0xfffffe00))[first]:
            if found and found[-1][1] == value:
                length, before = length, found.pop()[0]
                found.append((before + length, value))
            else:
                found.append((length, value))
            at += length
    equal(found, expected, "the same map with 32 bits")
    narrow.close()


@rule("strata:leaf-offset", "where the bytes lie is what qemu-img map says")
def leaf_offsets(link):
    for what in (link, link.big):
        client = what.transmit(EXTENDED, "", (LEAF,))
        extents = next(iter(client.status(0, client.size).values()))
        equal(sum(length for length, _ in extents), client.size, "the whole export")
        found, at = [], 0
        for length, value in extents:
            if value != NOWHERE:
                found.append((at, length, value))
            at += length
        equal(found, what.leaves, "data and where they lie")
        client.close()


@rule("strata:leaf-offset", "an answer for a part is the offset of the part's first byte")
def leaf_offsets_of_parts(link):
    random.seed(6)
    client = link.transmit(EXTENDED, "", (LEAF, "base:allocation"))
    leaf = next(context for context, name in client.contexts.items() if name == LEAF)
    for _ in range(100):
        offset = random.randrange(SIZE)
        expected = next((place + offset - at for at, length, place in link.leaves
                         if at <= offset < at + length), NOWHERE)
        for flags in (0, FLAG_REQ_ONE):
            found = client.status(offset, random.randint(1, SIZE - offset), flags)[leaf]
            equal(found[0][1], expected, f"leaf offset at {offset:#x}")
    client.close()


def leaves_of(image):
    """[(start, length, offset), ...] of data by qemu-img map, neighbours merged."""
    found = []
    for entry in json.loads(run("qemu-img", "map", "--output=json", "-f", "qcow2", image)):
        if not entry["data"]:
            continue
        start, length, place = entry["start"], entry["length"], entry["offset"]
        if found and found[-1][0] + found[-1][1] == start and found[-1][2] + found[-1][1] == place:
            found[-1] = (found[-1][0], found[-1][1] + length, found[-1][2])
        else:
            found.append((start, length, place))
    return found


def link_to(work, image):
    link = Link("a Unix socket", work.serve(image))
    link.leaves = leaves_of(image)
    return link


def test(work):
    big = work.path("big.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", big, str(BIG))
    run("qemu-io", "-f", "qcow2", "-c", f"write -q -P 0x33 {DATA_AT} 1M", big)
    link = link_to(work, make_seed_images(work))
    link.big = link_to(work, big)
    play(link)


main(test)
