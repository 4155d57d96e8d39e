#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# mixed-random-images-made-by-qemu.py - seeded random chains that QEMU's own tools make and write
# to: compressed, encrypted, extended L2, zstd, data files, snapshots, bitmaps, zeros, discards.
# Content, depth, bitmaps and snapshots must be what QEMU says of the same chain.
#
# STRATA_COUNT=N makes N chains.
import json
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from mixed_case import create_image
from functions import (STRATA, TestFailure, Workspace, check, check_same_bytes, check_same_map,
                       connect, main, read_all, run, whole_maps)

K, M = 1 << 10, 1 << 20
COUNT = 8
BITMAP = "qemu:dirty-bitmap:"
KINDS = ("plain", "extended", "zstd", "encrypted", "data-file", "raw-data-file", "old")


class Layer:
    """An image of the chain. tree: itself alone, as blockdev-add says it."""

    def __init__(self, kind, filename, tree):
        self.kind, self.filename, self.tree = kind, filename, tree
        self.snapshots, self.bitmaps = [], []

    @property
    def may_compress(self):
        return self.kind not in ("data-file", "raw-data-file")


class Chain:
    def __init__(self, work, rng):
        self.work, self.rng, self.layers = work, rng, []
        with open(work.path("key"), "w", encoding="utf-8") as file:
            file.write("random")
        self.secret = ["--object", f"secret,id=key,file={work.path('key')}"]

    def tree(self, depth=0):
        """The chain from a layer down; the topmost is the last that was made."""
        layers = self.layers[:len(self.layers) - depth]
        tree = None
        for layer in layers:
            tree = {**layer.tree, **({"backing": tree} if tree else {})}
        return tree

    def words(self):
        encrypted = any(layer.kind == "encrypted" for layer in self.layers)
        return [*(self.secret if encrypted else []), "json:" + json.dumps(self.tree())]

    def options(self, kind, name):
        bits = self.rng.choice((16, 16, 14) if kind in ("extended", "zstd") else (9, 12, 16, 18))
        options = [f"cluster_size={1 << bits}"]
        options += {"extended": ["extended_l2=on"], "zstd": ["compression_type=zstd"],
                    "old": ["compat=0.10"], "data-file": [f"data_file={name}.raw"],
                    "raw-data-file": [f"data_file={name}.raw", "data_file_raw=on"],
                    "encrypted": ["encrypt.format=luks", "encrypt.key-secret=key",
                                  "encrypt.iter-time=10"]}.get(kind, [])
        return ",".join(options)

    def add(self, kind, size):
        name = self.work.path(f"layer{len(self.layers)}")
        filename, tree = name + ".qcow2", {"driver": "qcow2"}
        tree["file"] = {"driver": "file", "filename": filename}
        if kind == "encrypted":
            tree["encrypt"] = {"format": "luks", "key-secret": "key"}
        below = ["-F", "qcow2", "-b", self.layers[-1].filename] if self.layers else []
        create_image(*self.secret, "-f", "qcow2", "-o", self.options(kind, name), *below, "-u",
                     filename, str(size))
        self.layers.append(Layer(kind, filename, tree))
        self.fill(size)

    def fill(self, size):
        layer = self.layers[-1]
        for _ in range(self.rng.randint(1, 3)):
            self.write(layer, size)
            if layer.kind != "old" and self.rng.randrange(2):
                self.add_bitmap(layer)
            if layer.may_compress and self.rng.randrange(2):
                self.add_snapshot(layer)
        self.write(layer, size)

    def write(self, layer, size):
        for _ in range(self.rng.randint(1, 8)):
            length = 512 * self.rng.choice((1, 8, 128, 128, 512, self.rng.randint(1, 1000)))
            length = min(length, size)
            offset = self.rng.randrange((size - length) // 512 + 1) * 512
            pattern = f"-P {self.rng.randint(1, 255)}"
            kind = self.rng.choice((f"write -q {pattern}", f"write -q {pattern}", "write -q -z",
                                    "write -q -z -u", "discard -q",
                                    f"write -q -c {pattern}" if layer.may_compress else "read -q"))
            if "-c" in kind:  # whole clusters
                offset, length = offset // (256 * K) * 256 * K, 256 * K
                if offset + length > size:
                    continue
            self.qemu_io(f"{kind} {offset} {length}", may_fail="-c" in kind)

    def qemu_io(self, command, may_fail):
        """QEMU compresses no cluster that is there already."""
        try:
            run("qemu-io", *self.secret, "-d", "unmap", "-c", command,
                "json:" + json.dumps(self.tree()))
        except TestFailure:
            if not may_fail:
                raise

    def add_bitmap(self, layer):
        name = f"bitmap {len(layer.bitmaps)} of {len(self.layers)}"
        granularity = self.rng.choice((512, 4 * K, 64 * K, M))
        run("qemu-img", "bitmap", "--add", "-g", str(granularity), *self.secret, "--image-opts",
            opts(layer), name)
        layer.bitmaps.append(name)

    def add_snapshot(self, layer):
        name = self.rng.choice(("same", "other", "two words"))
        run("qemu-img", "snapshot", *self.secret, "--image-opts", "-c", name, opts(layer))
        layer.snapshots.append(str(len(layer.snapshots) + 1))


def opts(layer):
    """One image as --image-opts: its backing file is not needed."""
    secret = ",encrypt.key-secret=key" if layer.kind == "encrypted" else ""
    return f"driver=qcow2,file.filename={layer.filename},backing={secret}"


def check_maps(chain, socket):
    contexts = ["base:allocation", "qemu:allocation-depth"]
    theirs_socket = chain.work.serve_with_qemu(*chain.words())
    theirs = whole_maps(connect(theirs_socket, contexts), contexts)
    ours = whole_maps(connect(socket, contexts), contexts)
    check_same_map(theirs["qemu:allocation-depth"], ours["qemu:allocation-depth"], "depth")
    content = read_all(connect(theirs_socket))
    check_same_bytes(content, read_all(connect(socket)), "content")
    zeros = zero_bytes(theirs["base:allocation"])
    check(zeros <= zero_bytes(ours["base:allocation"]), "QEMU knows zeros that strata does not")
    for offset, length, value in ours["base:allocation"]:
        check(value in (0, 3), f"base:allocation is {value} at {offset:#x}")
        check(value == 0 or not any(content[offset:offset + length]), f"no zeros at {offset:#x}")


def zero_bytes(extents):
    """The bytes of a map that are told to be zeros, as a set of sectors."""
    return {sector for offset, length, value in extents if value & 2
            for sector in range(offset // 512, (offset + length) // 512)}


def check_bitmaps(chain, socket, size):
    """Those of the topmost image, and of images below that are as long, with none between that is
    shorter: there QEMU tells of what is not there."""
    for number, layer in enumerate(chain.layers):
        if layer.size != size or min(above.size for above in chain.layers[number:]) < size:
            continue
        for name in layer.bitmaps:
            context = BITMAP + name
            theirs = chain.work.serve_with_qemu("--bitmap=" + name, *chain.words())
            check_same_map(whole_maps(connect(theirs, [context]), [context])[context],
                           whole_maps(connect(socket, [context]), [context])[context], context)


def check_snapshots(chain, socket):
    """QEMU shows a snapshot of the topmost image of what it is told to open."""
    for depth, layer in enumerate(reversed(chain.layers)):
        for ident in layer.snapshots:
            target = chain.work.path("snapshot.raw")
            run("qemu-img", "convert", *chain.secret, "-l", f"snapshot.id={ident}", "-O", "raw",
                "json:" + json.dumps(chain.tree(depth)), target)
            export = f"@{os.path.basename(layer.filename)}:{ident}"
            with open(target, "rb") as file:
                check_same_bytes(file.read(), read_all(connect(socket, [], export)), export)


def check_seed(seed):
    rng = random.Random(seed)
    with Workspace() as work:
        chain = Chain(work, rng)
        size = 512 * rng.randint(1024, 6000)
        for number in range(rng.choice((1, 2, 3))):
            kinds = [kind for kind in KINDS if number == 0 or kind != "raw-data-file"]
            # One in a chain is enough: QEMU takes two seconds to make it.
            if any(layer.kind == "encrypted" for layer in chain.layers):
                kinds.remove("encrypted")
            size = rng.choice((size, size, 512 * rng.randint(1024, 6000)))
            chain.add(kinds[seed % len(kinds)] if number == 0 else rng.choice(kinds), size)
            chain.layers[-1].size = size
        try:
            socket = work.serve(*chain.words())
            check_maps(chain, socket)
            check_bitmaps(chain, socket, size)
            check_snapshots(chain, socket)
            run(STRATA, "map", "--json", *chain.words())
        except TestFailure as failure:
            kinds = " over ".join(layer.kind for layer in reversed(chain.layers))
            raise TestFailure(f"seed {seed}, {kinds}: {failure}") from failure
        return len(chain.layers), sum(len(layer.snapshots) for layer in chain.layers), \
            sum(len(layer.bitmaps) for layer in chain.layers)


def test():
    first = int(os.environ.get("STRATA_SEED", 1))
    count = 1 if "STRATA_SEED" in os.environ else int(os.environ.get("STRATA_COUNT", COUNT))
    made = [check_seed(seed) for seed in range(first, first + count)]
    images, snapshots, bitmaps = map(sum, zip(*made))
    print(f"{len(made)} chains of {images} images with {snapshots} snapshots and {bitmaps} bitmaps "
          "are what QEMU says of them")


main(test)
