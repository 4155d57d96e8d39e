#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-three-machines.py - a chain over three strata-nbd in a row: depths add up, every layer has
# a name that tells the way to it, and the numbers of strata:layer are those of the list.
import json

from remote_case import (Workspace, check, connect, main, map_of, nbd_node, over, read_all, run,
                         whole_maps)
from functions import check_same_bytes, check_same_map, list_contexts
from seed_case import content, qemu_io

M = 1 << 20
IMAGE = content("8M", ("0", "1M", 1), ("1M", "2M", 2), ("2M", "3M", 3), ("3M", "4M", 4))
LAYERS = ["third.qcow2", "b/second.qcow2", "b/a/first.qcow2", "b/a/base.qcow2"]
DEPTHS = [(0, M, 4), (M, M, 3), (2 * M, M, 2), (3 * M, M, 1), (4 * M, M, 3), (5 * M, 3 * M, 0)]


def make_image(work, name, *commands, backing=None):
    words = ["-b", backing, "-F", "qcow2"] if backing else []
    run("qemu-img", "create", "-q", "-f", "qcow2", *words, work.path(name),
        *([] if backing else ["8M"]))
    qemu_io(work.path(name), *commands)
    return work.path(name)


def over_server(overlay, socket, name):
    """The overlay over all that the server at socket has, through a window."""
    return "json:" + json.dumps(over(overlay, {
        "driver": "raw", "file": nbd_node(socket, node_name=name)}))


def test():
    with Workspace() as work:
        make_image(work, "base.qcow2", "write -q -P 1 0 1M")
        make_image(work, "first.qcow2", "write -q -P 2 1M 1M", "write -q -z 4M 1M",
                   backing="base.qcow2")
        second = make_image(work, "second.qcow2", "write -q -P 3 2M 1M")
        third = make_image(work, "third.qcow2", "write -q -P 4 3M 1M")
        one = work.serve(work.path("first.qcow2"))
        two = work.serve(over_server(second, one, "a"))
        words = over_server(third, two, "b")
        three = work.serve(words)

        listed = list_contexts(three, "strata:only:")
        check(listed == ["strata:only:" + name for name in LAYERS], f"layers are {listed}")
        contexts = ["qemu:allocation-depth", "strata:layer", "strata:above:b/a/base.qcow2",
                    "strata:only:b/second.qcow2"]
        handle = connect(three, contexts)
        check_same_bytes(IMAGE, read_all(handle), "content over three machines")
        maps = whole_maps(handle, contexts)
        check_same_map(DEPTHS, maps["qemu:allocation-depth"], "depth")
        # Each layer lies one edge below the one before, so that here depth is the number, too.
        check_same_map(DEPTHS, maps["strata:layer"], "strata:layer")
        check_same_map([(0, M, 0), (M, 4 * M, 1), (5 * M, 3 * M, 0)],
                       maps["strata:above:b/a/base.qcow2"], "above the lowest layer")
        check_same_map([(0, 2 * M, 0), (2 * M, M, 1), (3 * M, 5 * M, 0)],
                       maps["strata:only:b/second.qcow2"], "a layer of the second machine")
        found = [row[3:] for row in map_of([words])]
        check(found == [[str(depth), LAYERS[depth - 1] if depth else "-"]
                        for _, _, depth in DEPTHS], f"strata map says {found}")


main(test)
