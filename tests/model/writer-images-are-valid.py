# SPDX-License-Identifier: LGPL-2.1-or-later
# writer-images-are-valid.py - a test of the tests: what qcow2_writer.py writes is valid to QEMU
# ("qemu-img check"), and QEMU reads from it what the model reads. Over all cluster sizes, versions
# and forms of tables.
import pathlib
import random
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parent.parent)]

import graphs
import model
from functions import Workspace, check, check_same_bytes, main, run


def blockdev(node):
    """One image alone, without its backing file."""
    tree = {"driver": "qcow2", "backing": None,
            "file": {"driver": "file", "filename": node.leaf().filename}}
    if "data-file" in node.children:
        tree["data-file"] = {"driver": "file", "filename": node.children["data-file"].filename}
    return tree


def check_image(node):
    """Consistent, refcounts and all."""
    if isinstance(node, model.Qcow2) and isinstance(node.children["file"], model.File) and \
            isinstance(node.children.get("data-file"), (model.File, type(None))):
        run("qemu-img", "check", "json:" + graphs.to_json(blockdev(node)))
        return 1
    return 0


def check_cluster_size(work, bits, version, extended_l2):
    """One image of each form, with every kind of cluster that the form has."""
    builder = graphs.Builder(random.Random(bits), work.dir, plain=True)
    image = graphs.qcow2_writer.Image((64 << bits) + 512, version=version, cluster_bits=bits,
                                      extended_l2=extended_l2)
    content = builder.bytes(min(image.size, 1 << 20)).ljust(image.size, b"\0")
    builder.choose_units(image, content, None)
    builder.preallocate(image)
    node = builder.write_qcow2(image, None, None, 0)
    check_image(node)
    target = work.path("converted.raw")
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", node.leaf().filename, target)
    with open(target, "rb") as file:
        check_same_bytes(content, file.read(), f"cluster_bits {bits}, version {version}")


def test():
    checked = 0
    with Workspace() as work:
        for bits in range(9, 22):
            check_cluster_size(work, bits, 2, False)
            check_cluster_size(work, bits, 3, False)
            if bits >= 14:
                check_cluster_size(work, bits, 3, True)
    for seed in range(60):
        with Workspace() as work:
            builder = graphs.Builder(random.Random(seed), work.dir)
            content = builder.bytes(builder.size())
            top = builder.node(content, "top", 4)
            checked += sum(map(check_image, top.preorder()))
            check_same_bytes(content, top.read(0, top.size), f"the model of seed {seed}")
    check(checked > 50, f"only {checked} images of random graphs were checked")


main(test)
