#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# remote-base-behind-any-server.py - a local overlay over a chain, or a file, that any NBD server
# has: the same content, depth as far as the server tells it, layers where it does.
import json

from remote_case import (WebServer, Workspace, check, connect, main, map_of, nbd_node, over,
                         read_all, run, serve_by_nbdkit, serve_by_qemu, whole_maps)
from functions import check_same_bytes, check_same_map, merge_extents
from seed_case import SEED_CONTENT, content, make_seed_images, qemu_io

M = 1 << 20
IMAGE = SEED_CONTENT[:6 * M] + content("1M", ("0", "1M", 0x33)) + SEED_CONTENT[7 * M:]

# The overlay here holds 6-7 MiB; what lies below is the seed chain.
BY_LAYER = """
0 1M data 3 NODE/base.qcow2
1M 2M zero 0 -
2M 3M data 2 NODE/overlay.qcow2
3M 4M zero 0 -
4M 5M zero 2 NODE/overlay.qcow2
5M 6M zero 0 -
6M 7M data 1 top.qcow2
7M 10M zero 0 -
"""
BY_DEPTH = """
0 1M data 3 NODE
1M 2M zero 0 -
2M 3M data 2 NODE
3M 4M zero 0 -
4M 5M zero 2 NODE
5M 6M zero 0 -
6M 7M data 1 top.qcow2
7M 10M zero 0 -
"""
BY_CONTENT = """
0 1M data 2 NODE
1M 2M zero 2 NODE
2M 3M data 2 NODE
3M 6M zero 2 NODE
6M 7M data 1 top.qcow2
7M 10M zero 2 NODE
"""
# A server that cannot say where zeros are.
BY_NOTHING = """
0 6M data 2 NODE
6M 7M data 1 top.qcow2
7M 10M data 2 NODE
"""


def rows(table, node):
    lines = [line.split() for line in table.replace("NODE", node).splitlines() if line]
    sizes = [(int(start.rstrip("M")) * M, int(end.rstrip("M")) * M) for start, end, *_ in lines]
    return [[str(start), str(end - start), *line[2:]] for (start, end), line in zip(sizes, lines)]


def check_server(work, what, socket, table, **options):
    words = ["json:" + json.dumps(over(work.path("top.qcow2"), {
        "driver": "raw", "node-name": "NAME", "file": nbd_node(socket, node_name="LEAF", **options),
    }))]
    claimant = "NAME" if table in (BY_CONTENT, BY_NOTHING) else "LEAF"
    found = map_of(words)
    wanted = rows(table, claimant)
    check(found == wanted, f"{what}: strata map says {found}, expected {wanted}")
    served = work.serve(*words)
    handle = connect(served, ("base:allocation", "qemu:allocation-depth"))
    check_same_bytes(IMAGE, read_all(handle), f"content over {what}")
    maps = whole_maps(handle, ["base:allocation", "qemu:allocation-depth"])
    joined = [(int(start), int(length), 3 if kind == "zero" else 0)
              for start, length, kind, _, _ in wanted]
    check_same_map(merge_extents(joined), maps["base:allocation"], f"base:allocation over {what}")
    joined = [(int(start), int(length), int(depth)) for start, length, _, depth, _ in wanted]
    check_same_map(merge_extents(joined), maps["qemu:allocation-depth"], f"depth over {what}")
    return served


def test():
    with Workspace() as work:
        make_seed_images(work)
        run("qemu-img", "create", "-q", "-f", "qcow2", work.path("top.qcow2"), "10M")
        qemu_io(work.path("top.qcow2"), "write -q -P 0x33 6M 1M")
        overlay, flat = work.path("overlay.qcow2"), work.path("flat.raw")
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay, flat)

        check_server(work, "strata-nbd", work.serve(overlay), BY_LAYER)
        check_server(work, "qemu-nbd -A", serve_by_qemu(work, "-A", "-f", "qcow2", overlay),
                     BY_DEPTH)
        check_server(work, "qemu-nbd", serve_by_qemu(work, "-f", "qcow2", overlay), BY_CONTENT)
        check_server(work, "nbdkit file", serve_by_nbdkit(work, "file", flat), BY_CONTENT)
        check_server(work, "nbdkit without structured replies",
                     serve_by_nbdkit(work, "--no-sr", "file", flat), BY_NOTHING)
        check_server(work, "an old-style server",
                     serve_by_nbdkit(work, "--oldstyle", "file", flat), BY_NOTHING)
        memory = serve_by_nbdkit(work, "memory", "10M")
        run("nbdcopy", flat, f"nbd+unix:///?socket={memory}")
        check_server(work, "nbdkit memory", memory, BY_CONTENT)
        with WebServer(work.dir) as web:
            socket = serve_by_nbdkit(work, "curl", f"url={web.url}/flat.raw")
            check_server(work, "nbdkit curl", socket, BY_NOTHING)
            # A chain whose images both lie on a web server: the format is read here.
            qcow2 = serve_by_nbdkit(work, "curl", f"url={web.url}/base.qcow2")
            words = ["json:" + json.dumps(over(overlay, {
                "driver": "qcow2", "node-name": "web", "file": nbd_node(qcow2)}))]
            check(map_of(words)[0] == ["0", str(M), "data", "2", "web"],
                  f"a qcow2 image on a web server: {map_of(words)}")
            check_same_bytes(SEED_CONTENT, read_all(connect(work.serve(*words))),
                             "an image on a web server")


main(test)
