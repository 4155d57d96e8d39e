# SPDX-License-Identifier: LGPL-2.1-or-later
# random_remotes.py - random image graphs that span several servers, against the model.
#
# As random_graphs.py, but any layer and any storage may be behind an NBD server: strata-nbd, whose
# layers are layers here, "qemu-nbd -A", whose depth is added, or qemu-nbd and nbdkit, which tell
# of zeros only (see seeds.py for the options).
import pathlib
import random
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parent.parent)]

import nbd

import compare
import graphs
import model
import seeds
import spec_text
from functions import TestFailure, Workspace, check_same_bytes

PLUGIN_EVERY = 10  # seeds
COUNT = 100


def build(rng, work):
    """A graph with a server in it, at least one."""
    while True:
        builder = graphs.Builder(rng, work.dir, work=work)
        content = builder.bytes(builder.size())
        top = builder.node(content, "top", rng.choice((2, 3, 4, 5, 6)))
        if any(isinstance(node, model.Nbd) for node in top.preorder()):
            check_same_bytes(content, top.read(0, top.size), "the model itself")
            return top


def check_seed(seed):
    rng = random.Random(seed)
    with Workspace() as work:
        top = build(rng, work)
        words = spec_text.arguments(top, rng)
        model.name_nodes(top)
        try:
            case = compare.Case(work, top, words, rng)
            compare.check_server(case)
            compare.check_tool(case)
            if seed % PLUGIN_EVERY == 0:
                compare.check_plugin(case)
        except (TestFailure, nbd.Error) as failure:
            raise TestFailure(f"{failure}\n{compare.describe(top, words)}") from failure
    return {f"leaves that tell {node.tells}": 1 for node in top.preorder()
            if isinstance(node, model.Nbd)}


if __name__ == "__main__":
    seeds.main(check_seed, COUNT)
