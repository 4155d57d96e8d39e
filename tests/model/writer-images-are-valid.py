# SPDX-License-Identifier: LGPL-2.1-or-later
# writer-images-are-valid.py - a test of the tests: what qcow2_writer.py writes is valid to QEMU
# ("qemu-img check"), and QEMU reads from it what the model reads: today's disk, snapshots, bitmaps,
# compressed and encrypted clusters. Over all cluster sizes, versions and forms of tables.
import collections
import copy
import json
import pathlib
import random
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parent.parent)]

import compressors
import graphs
import luks
import model
from functions import (Workspace, check, check_same_bytes, check_same_map, connect, main, run,
                       whole_maps)
from spec_text import to_json

BITMAP = "qemu:dirty-bitmap:"


class Image:
    """One image alone, without its backing file, as QEMU opens it."""

    def __init__(self, node, work):
        node = node.today
        self.node, self.work = copy.copy(node), work
        self.node.children = {role: child for role, child in node.children.items()
                              if role != "backing"}
        tree = {"driver": "qcow2", "backing": None,
                "file": {"driver": "file", "filename": node.leaf().filename}}
        if "data-file" in node.children:
            tree["data-file"] = {"driver": "file",
                                 "filename": node.children["data-file"].filename}
        if node.key:
            tree["encrypt"] = {"format": node.encryption_format, "key-secret": node.key}
        self.words = graphs.objects(node, work.dir), "json:" + to_json(tree)

    def tool(self, command, *options):
        objects, name = self.words
        return run("qemu-img", command, *objects, *options, name)

    def converted(self, *options):
        objects, name = self.words
        target = self.work.path("converted.raw")
        run("qemu-img", "convert", *objects, *options, "-O", "raw", name, target)
        with open(target, "rb") as file:
            return file.read()

    def check_consistency(self):
        # QEMU takes the clusters of bitmaps that have lost their meaning for leaked ones, and the
        # last bit of a disk that ends within a sector for one too many.
        if self.node.bitmaps_lost or (self.node.bitmaps and self.node.size % 512):
            return
        self.tool("check")

    def check_disks(self):
        if self.node.size % 512:
            return
        check_same_bytes(self.node.read(0, self.node.size), self.converted(), "the disk of today")
        for snapshot in self.node.snapshots:
            view = self.node.at(snapshot)
            theirs = self.converted("-l", "snapshot.id=" + snapshot.id)[:view.size]
            check_same_bytes(view.read(0, view.size)[:len(theirs)], theirs,
                             f"snapshot {snapshot.id}")

    def check_bitmaps(self):
        if self.node.size % 512:
            return
        info = json.loads(self.tool("info", "--output=json"))["format-specific"]["data"]
        told = {bitmap["name"]: bitmap for bitmap in info.get("bitmaps", [])}
        check(set(told) == {bitmap.name for bitmap in self.node.bitmaps},
              f"QEMU sees the bitmaps {sorted(told)}")
        for bitmap in self.node.bitmaps:
            flags = told[bitmap.name]["flags"]
            check(("in-use" in flags) != bitmap.consistent, f"{bitmap.name} is {flags}")
        for name in model.offered_bitmaps(self.node)[:1]:
            objects, top = self.words
            socket = self.work.serve_with_qemu("--bitmap=" + name, *objects, top)
            found = whole_maps(connect(socket, [BITMAP + name]), [BITMAP + name])
            check_same_map(model.bitmap_map(self.node, name), found[BITMAP + name], name)


def can_be_checked(node):
    return isinstance(node, model.Qcow2) and isinstance(node.children["file"], model.File) and \
        isinstance(node.children.get("data-file"), (model.File, type(None)))


def check_form(work, bits, version, extended_l2=False, **options):
    """One image of each form, with every kind of cluster that the form has."""
    builder = graphs.Builder(random.Random(bits), work.dir, plain=True)
    image = graphs.qcow2_writer.Image((64 << bits) + 512, version=version, cluster_bits=bits,
                                      extended_l2=extended_l2, **options)
    image.compressed_percent, image.key = 40, "key0" if image.encryption else None
    content = builder.bytes(min(image.size, 1 << 20)).ljust(image.size, b"\0")
    builder.choose_units(image, content, None)
    builder.preallocate(image)
    builder.compress_some(image, image, content)
    node = builder.write_qcow2(image, None, None, 0)
    written = Image(node, work)
    written.check_consistency()
    written.check_disks()
    written.check_bitmaps()
    check_same_bytes(content, node.today.read(0, node.today.size), "the model itself")


def check_all_forms(work):
    secret = graphs.PASSWORDS["key0"]
    for bits in range(9, 22):
        check_form(work, bits, 2, ends_compressed=bits % 2 == 0)
        check_form(work, bits, 3)
        check_form(work, bits, 3, compression=compressors.ZSTD, header_length=112)
        if bits >= 14:
            check_form(work, bits, 3, True)
    for form in range(len(luks.FORMS)):
        check_form(work, 16, 3, encryption=luks.luks(secret, form, form))
    check_form(work, 12, 2, encryption=luks.aes(secret))


def count(node):
    """What an image has, for the proof that the random ones have it all."""
    kinds = set(node.disk.kinds.values())
    return {"images": 1, "snapshots": len(node.snapshots), "bitmaps": len(node.bitmaps),
            "compressed": model.COMPRESSED in kinds, "encrypted": model.ENCRYPTED in kinds}


def check_random_images(seed):
    with Workspace() as work:
        builder = graphs.Builder(random.Random(seed), work.dir)
        content = builder.bytes(builder.size())
        top = builder.node(content, "top", 4)
        check_same_bytes(content, top.read(0, top.size), f"the model of seed {seed}")
        counts = collections.Counter()
        for node in filter(can_be_checked, top.preorder()):
            written = Image(node, work)
            written.check_consistency()
            written.check_disks()
            written.check_bitmaps()
            counts.update(count(node))
        return counts


def test():
    with Workspace() as work:
        check_all_forms(work)
    counts = collections.Counter()
    for seed in range(70):
        counts.update(check_random_images(seed))
    wanted = {"images": 60, "snapshots": 30, "bitmaps": 30, "compressed": 10, "encrypted": 4}
    for what, least in wanted.items():
        check(counts[what] >= least, f"only {counts[what]} {what} among the random images")


main(test)
