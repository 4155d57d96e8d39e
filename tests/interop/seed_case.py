# SPDX-License-Identifier: LGPL-2.1-or-later
# seed_case.py - what the seed-*.py tests share: one expected table, checked through every face.
#
# A table has a line for each range:    FROM TO base:allocation depth claimant
# with '-' for nobody; it says all that the contexts and the plugin's views can be asked. The
# images are made by QEMU's tools, the content is put together without them.
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import (Workspace, TestFailure, check, check_same_bytes, check_same_map, connect,
                       list_contexts, main, merge_extents, read_all, run, whole_maps)

__all__ = ["SEED_CONTENT", "Table", "TestFailure", "Workspace", "check_case", "check_same_bytes",
           "check_same_map", "connect", "content", "main", "make_seed_images", "qemu_io", "run",
           "whole_maps"]

K, M = 1 << 10, 1 << 20


def size(text):
    factor = {"K": K, "M": M}.get(text[-1])
    return int(text[:-1]) * factor if factor else int(text)


class Table:
    """Rows (from, to, allocation, depth, claimant or None)."""

    def __init__(self, text):
        rows = [line.split("#")[0].split() for line in text.splitlines()]
        self.rows = [(size(start), size(end), int(allocation), int(depth),
                      None if claimant == "-" else claimant)
                     for start, end, allocation, depth, claimant in filter(None, rows)]
        ends = [0] + [row[1] for row in self.rows]
        check([row[0] for row in self.rows] == ends[:-1], "the expected table has gaps")
        self.size = ends[-1]

    def map(self, value):
        """value(allocation, depth, claimant) of each row, merged."""
        return merge_extents([(start, end - start, value(*rest))
                              for start, end, *rest in self.rows])

    def context(self, context, path):
        """path: the names of the nodes that the walk meets, top first."""
        name = context.rpartition(":")[2]
        if context == "base:allocation":
            return self.map(lambda allocation, depth, claimant: allocation)
        if context == "qemu:allocation-depth":
            return self.map(lambda allocation, depth, claimant: depth)
        if context.startswith("strata:only:"):
            return self.map(lambda allocation, depth, claimant: int(claimant == name))
        above = path[:path.index(name)]
        return self.map(lambda allocation, depth, claimant: int(claimant in above))

    def view(self, names):
        """only@ and above@ of the plugin: these nodes' data 0, their zeros 2, the rest 3."""
        return self.map(lambda allocation, depth, claimant:
                        3 if claimant not in names else 2 if allocation == 3 else 0)

    def view_bytes(self, names, image):
        return b"".join(image[start:end] if claimant in names else bytes(end - start)
                        for start, end, _, _, claimant in self.rows)


def content(length, *pieces):
    """Bytes of an image: pieces are (from, to, byte), the rest is zeros."""
    image = bytearray(size(length))
    for start, end, byte in pieces:
        start, end = size(start), size(end)
        image[start:end] = bytes((byte,)) * (end - start)
    return bytes(image)


def qemu_io(filename, *commands):
    words = [word for command in commands for word in ("-c", command)]
    run("qemu-io", "-f", "qcow2", *words, filename)


# The image of docs/resolving.md: base holds 0-1 MiB, overlay holds 2-3 (data) and 4-5 (zero).
SEED_CONTENT = content("10M", ("0", "1M", 0x11), ("2M", "3M", 0x22))


def make_seed_images(work):
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("base.qcow2"), "10M")
    qemu_io(work.path("base.qcow2"), "write -q -P 0x11 0 1M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
        work.path("overlay.qcow2"))
    qemu_io(work.path("overlay.qcow2"), "write -q -P 0x22 2M 1M", "write -q -z 4M 1M")


def check_export(socket, export, image, maps):
    """Size, content and all maps of an export, the contexts asked together and one by one."""
    handle = connect(socket, maps, export)
    check(handle.get_size() == len(image),
          f"export '{export}' has size {handle.get_size()}, expected {len(image)}")
    check_same_bytes(image, read_all(handle), f"content of export '{export}'")
    found = whole_maps(handle, list(maps))
    for context, expected in maps.items():
        check_same_map(expected, found[context], f"{context} of export '{export}'")
        alone = whole_maps(connect(socket, [context], export), [context])[context]
        check_same_map(expected, alone, f"{context}, asked alone, of export '{export}'")


def all_maps(table, path):
    contexts = ["base:allocation", "qemu:allocation-depth"]
    for name in path:
        contexts += [f"strata:only:{name}", f"strata:above:{name}",
                     f"qemu:dirty-bitmap:above:{name}"]
    return {context: table.context(context, path) for context in contexts}


def check_strata_nbd(work, words, table, image, path, layers):
    socket = work.serve(*words)
    check_contexts(socket, table, image, path, layers)
    return socket


def check_contexts(socket, table, image, path, layers):
    listed = list_contexts(socket, "strata:only:")
    wanted = [f"strata:only:{name}" for name in layers]
    check(listed == wanted, f"strata:only: lists {listed}, expected {wanted}")
    maps = all_maps(table, path)
    maps["strata:layer"] = table.map(lambda allocation, depth, claimant:
                                     layers.index(claimant) + 1 if claimant else 0)
    check_export(socket, "", image, maps)


def check_plugin(work, words, table, image, path, layers):
    companion = work.socket()
    socket = work.serve_with_nbdkit(*plugin_words(words), f"contexts=unix:{companion}")
    check_export(socket, "", image,
                 {"base:allocation": table.context("base:allocation", path)})
    views = [(f"only@{name}", [name]) for name in layers]
    views += [(f"above@{name}", path[:path.index(name)]) for name in path]
    for export, names in views:
        check_export(socket, export, table.view_bytes(names, image),
                     {"base:allocation": table.view(names)})
    check_contexts(companion, table, image, path, layers)


def plugin_words(words):
    """The command line of strata-nbd in the words of the plugin."""
    if words[0] == "--image-opts":
        return ["spec=" + words[1]]
    if words[0] == "--format":
        return ["format=" + words[1], "file=" + words[2]]
    return ["spec=" + words[0] if words[0].startswith("json:") else "file=" + words[0]]


def check_case(work, words, table_text, image, path, layers=None):
    """words: what names the graph; path: the nodes in walk order; layers: those that may claim."""
    table = Table(table_text)
    check(table.size == len(image), "the expected table and content differ in size")
    layers = layers or path
    check_strata_nbd(work, words, table, image, path, layers)
    check_plugin(work, words, table, image, path, layers)
