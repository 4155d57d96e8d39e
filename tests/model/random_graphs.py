# SPDX-License-Identifier: LGPL-2.1-or-later
# random_graphs.py - hundreds of random image graphs: strata against the model, and against QEMU.
#
# Each seed makes one graph, on disk and as a model: qcow2 with all it may contain, windows, images
# in images, encrypted and compressed ones, snapshots, bitmaps (see seeds.py for the options).
# Every third seed is a plain chain, which QEMU resolves right as well: depth must equal that of
# "qemu-nbd -A" extent for extent, a bitmap that of "qemu-nbd -B", a snapshot "qemu-img convert -l".
# Every tenth is served by nbdkit, too.
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
from functions import TestFailure, Workspace, check, check_same_bytes

PLAIN_EVERY, PLUGIN_EVERY = 3, 10  # seeds
COUNT = 500


def check_seed(seed, spoilt=None):
    """Builds and compares the graph of one seed. spoilt: a check that shall be told a lie."""
    rng = random.Random(seed)
    plain = seed % PLAIN_EVERY == 0
    with Workspace() as work:
        builder = graphs.Builder(rng, work.dir, plain)
        content = builder.bytes(builder.size())
        top = builder.node(content, "top", rng.choice((1, 2, 3, 4, 5, 6, 9)))
        check_same_bytes(content, top.read(0, top.size), "the model itself")
        words = spec_text.arguments(top, rng)
        model.name_nodes(top)
        try:
            return compare_all(compare.Case(work, top, words, rng), seed, spoilt)
        except (TestFailure, nbd.Error) as failure:
            raise TestFailure(f"{failure}\n{compare.describe(top, words)}") from failure


def compare_all(case, seed, spoilt):
    in_plugin = seed % PLUGIN_EVERY == 0
    for check_part in [compare.check_server, compare.check_tool] + \
            [compare.check_plugin] * in_plugin:
        if check_part is spoilt:
            SPOILERS[check_part][0](case)
        check_part(case)
    counts = {"in nbdkit, too": int(in_plugin)}
    if seed % PLAIN_EVERY == 0:
        better = compare.check_against_qemu(case)
        counts |= {"chains that equal QEMU's": 1,
                   "bytes known to be zero that QEMU calls data": better}
    return counts


def spoil_zero(case):
    case.spoil_run(-1, zero=not case.expected.runs[-1].zero)


def spoil_leaf(case):
    index = next(i for i, run in enumerate(case.expected.runs) if run.leaf)
    case.spoil_run(index, leaf_offset=case.expected.runs[index].leaf_offset + 1)


def spoil_claimed_zero(case):
    """Says of zeros that nobody claims them: no difference for the image, but one for a layer."""
    index = next(i for i, run in enumerate(case.expected.runs) if run.claimant and run.zero)
    case.spoil_run(index, claimant=None)


# For each check: what to spoil before it, and how it must complain.
SPOILERS = {
    compare.check_server: (spoil_zero, "base:allocation of export ''"),
    compare.check_tool: (spoil_leaf, "strata map --json"),
    compare.check_plugin: (spoil_claimed_zero, "base:allocation of export 'only@"),
}
SPOILED_SEED = 40  # is in nbdkit, and layers of it claim data and zeros


def check_that_it_can_fail():
    """A test of the test: with one expectation turned round, it must complain."""
    for spoilt, (_, complaint) in SPOILERS.items():
        try:
            check_seed(SPOILED_SEED, spoilt)
        except TestFailure as failure:
            check(complaint in str(failure), f"failed for another reason: {failure}")
        else:
            raise TestFailure(f"a wrong expectation went unnoticed; wanted: {complaint}")


if __name__ == "__main__":
    check_that_it_can_fail()
    seeds.main(check_seed, COUNT)
