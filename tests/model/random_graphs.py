# SPDX-License-Identifier: LGPL-2.1-or-later
# random_graphs.py - hundreds of random image graphs: strata against the model, and against QEMU.
#
#   random_graphs.py [--seed N] [--count M] [--jobs J]      STRATA_SEED=N is --seed N --count 1
#
# Each seed makes one graph, on disk and as a model. strata-nbd serves it, and everything that it
# says over NBD is compared: content, every context, the exports of inner nodes, and requests of
# any size in any order. "strata map" must say the same, and where in which host file the bytes
# lie. Every third seed is a plain chain, which "qemu-nbd -A" resolves right as well: depth must
# equal it extent for extent. Every tenth is served by nbdkit, too, with all views of its layers.
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parent.parent)]

import nbd

import graphs
import model
from functions import (STRATA, TestFailure, Workspace, block_status, check, check_same_bytes,
                       check_same_map, connect, list_contexts, read_all, run, whole_maps)


PLAIN_EVERY, PLUGIN_EVERY = 3, 10  # seeds


class Expected:
    """What the model says of one node, context by context."""

    def __init__(self, top, graph_top, layers):
        self.top, self.graph_top, self.layers = top, graph_top, layers
        self.runs = model.resolve(top)
        self.content = top.read(0, top.size)
        self.maps = {}

    def map(self, context):
        if context not in self.maps:
            self.maps[context] = model.context_map(self.runs, context, self.graph_top,
                                                   self.layers)
        return self.maps[context]


class ExpectedView:
    """What an export of the plugin must be that shows some layers of the image, and no others."""

    def __init__(self, image, is_shown):
        self.extents = model.view_map(image.runs, is_shown)
        self.content = b"".join(
            bytes(length) if value else image.content[offset:offset + length]
            for offset, length, value in self.extents)

    def map(self, _context):
        return self.extents


class Case:
    """One graph on disk, and what the model says of it."""

    def __init__(self, seed, work, top, words, rng):
        self.seed, self.work, self.top, self.words, self.rng = seed, work, top, words, rng
        self.plain = seed % PLAIN_EVERY == 0
        self.socket = work.serve(*words)
        self.layers = listed_layers(self.socket)
        self.expected = Expected(top, top, self.layers)

    def spoil_run(self, index, **facts):
        self.expected.runs[index] = self.expected.runs[index]._replace(**facts)


def check_listed_layers(layers, expected_top, runs):
    """strata:only: lists every claimant, in walk order, and nobody who is not on the path."""
    path = [node.name for node in expected_top.path()]
    check(len(set(layers)) == len(layers), f"layers listed twice: {layers}")
    check([name for name in path if name in layers] == layers,
          f"strata:only: lists {layers}, which is not in the order of the walk {path}")
    claimants = {run.claimant.name for run in runs if run.claimant}
    check(claimants <= set(layers), f"{claimants - set(layers)} claim, but are not listed")


def all_contexts(top, rng):
    names = [node.name for node in top.preorder()]
    some = rng.sample(names, min(3, len(names)))
    contexts = ["base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint"]
    contexts += [f"strata:only:{node.name}" for node in top.path()][:6]
    contexts += [f"strata:above:{name}" for name in some]
    contexts += [f"qemu:dirty-bitmap:above:{name}" for name in some]
    return contexts


def check_export(socket, export, expected, contexts):
    """One export whole: size, content, and all contexts at once."""
    handle = connect(socket, contexts, export)
    check(handle.get_size() == len(expected.content),
          f"export '{export}' has size {handle.get_size()}, expected {len(expected.content)}")
    if not expected.content:
        return
    check_same_bytes(expected.content, read_all(handle), f"export '{export}'")
    for context, found in whole_maps(handle, contexts).items():
        check_same_map(expected.map(context), found, f"{context} of export '{export}'")
    check_zeros(expected.content, expected.map("base:allocation"), export)


def check_zeros(content, extents, export):
    """The maps were equal: so that this holds for the server as well as for the model."""
    for offset, length, value in extents:
        check(value == 0 or not any(content[offset:offset + length]),
              f"{offset:#x} of '{export}' is reported zero and does not read as zeros")


def random_range(rng, size):
    offset = rng.randrange(size)
    length = rng.choice((1, 511, 512, 4096, 65536, 1 << 20, size))
    return offset, min(rng.randint(1, length), size - offset)


def values_in(extents, offset, length):
    """The (offset, length, value) extents of a map that meet a range, cut to it."""
    cut = []
    for at, size, value in extents:
        start, end = max(at, offset), min(at + size, offset + length)
        if start < end:
            cut.append((start, end - start, value))
    return cut


def check_random_requests(socket, expected, contexts, rng, export=""):
    """Any subset of contexts, any order and size of requests: the same answers."""
    subset = rng.sample(contexts, rng.randint(1, len(contexts)))
    handle = connect(socket, subset, export)
    for _ in range(12):
        offset, length = random_range(rng, len(expected.content))
        flags = nbd.CMD_FLAG_REQ_ONE if rng.randrange(3) == 0 else 0
        answer = block_status(handle, length, offset, flags)
        check(set(answer) == set(subset), f"asked for {subset}, told {sorted(answer)}")
        for context, found in answer.items():
            told = sum(size for _, size, _ in found)
            wanted = values_in(expected.map(context), offset, told)
            what = f"{context}, {length:#x} bytes from {offset:#x}, flags {flags}, with {subset}"
            check_same_map(wanted, model_merge(found), what)
        check_read(handle, expected, rng)


def model_merge(extents):
    start = extents[0][0] if extents else 0
    return [(start + at, length, value)
            for at, length, value in model.merge((length, value) for _, length, value in extents)]


def check_read(handle, expected, rng):
    offset, length = random_range(rng, len(expected.content))
    check_same_bytes(expected.content[offset:offset + length], bytes(handle.pread(length, offset)),
                     f"read of {length:#x} bytes from {offset:#x}")


def images(top):
    """The nodes that are exports of their own: a leaf that only stores is no image."""
    return [node for node in top.preorder()
            if not isinstance(node, model.File) or node in top.path()]


def check_inner_exports(case):
    """@NODE is the image from NODE down."""
    served = images(case.top)
    for node in case.rng.sample(served, min(2, len(served))):
        export = "@" + node.name
        layers = listed_layers(case.socket, export)
        expected = Expected(node, case.top, layers)
        check_listed_layers(layers, node, expected.runs)
        check_export(case.socket, export, expected,
                     ["base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint"])


def check_server(case):
    """strata-nbd: every context, and the exports of inner nodes."""
    check_listed_layers(case.layers, case.top, case.expected.runs)
    contexts = all_contexts(case.top, case.rng)
    check_export(case.socket, "", case.expected, contexts)
    check_random_requests(case.socket, case.expected, contexts, case.rng)
    check_random_requests(case.socket, case.expected, contexts, case.rng)
    check_inner_exports(case)


def listed_layers(socket, export=""):
    prefix = "strata:only:"
    return [name[len(prefix):] for name in list_contexts(socket, prefix, export)
            if name.startswith(prefix)]


def check_tool(case):
    """strata map --json: the same runs, claimants by name, and where their bytes lie."""
    told = json.loads(run(STRATA, "map", "--json", *case.words))
    found = [(extent["offset"], extent["length"], facts_told(extent)) for extent in told]
    wanted = [(run.offset, run.length, facts_expected(run)) for run in case.expected.runs]
    check_same_map(wanted, found, "strata map --json")
    for extent in told:
        if extent["leaf"] is not None:
            check_same_bytes(case.expected.content[extent["offset"]:][:extent["length"]],
                             bytes_in_file(extent), f"the file that has the bytes of {extent}")


def facts_told(extent):
    return (extent["layer"], extent["depth"], extent["zero"], extent.get("past-end", False),
            extent["leaf"], extent["leaf-offset"], extent["leaf-file"])


def facts_expected(run):
    leaf = run.leaf
    return (run.claimant.name if run.claimant else None, run.depth, run.zero, run.past_end,
            leaf.name if leaf else None, run.leaf_offset, leaf.filename if leaf else None)


def bytes_in_file(extent):
    with open(extent["leaf-file"], "rb") as file:
        file.seek(extent["leaf-offset"])
        return file.read(extent["length"])


def check_plugin(case):
    """nbdkit: the image, images within it, and for every layer what only@ and above@ it lies."""
    top, rng = case.top, case.rng
    socket = case.work.serve_with_nbdkit(*plugin_words(case.words))
    check_plugin_exports(socket, case)
    check_plugin_export(socket, "", case.expected, rng)
    served = images(top)
    for node in rng.sample(served, min(2, len(served))):
        check_plugin_export(socket, "@" + node.name, Expected(node, top, []), rng)
    for node in top.preorder():
        within = set(node.preorder())
        above = ExpectedView(case.expected, lambda claimant: claimant not in within)
        check_plugin_export(socket, "above@" + node.name, above, rng)
        if node.name in case.layers:
            only = ExpectedView(case.expected, lambda claimant: claimant is node)
            check_plugin_export(socket, "only@" + node.name, only, rng)


def plugin_words(words):
    """The words for strata-nbd as parameters of the plugin."""
    if words[0] == "--image-opts":
        return ["spec=" + words[1]]
    if words[0].startswith("json:"):
        return ["spec=" + words[0]]
    return ["file=" + words[-1]] + (["format=" + words[1]] if words[0] == "--format" else [])


def check_plugin_exports(socket, case):
    path = [node.name for node in case.top.path()]
    wanted = [""] + ["@" + name for name in path] + ["only@" + name for name in case.layers] + \
        ["above@" + name for name in path]
    found = list_exports(socket)
    check(found == wanted, f"nbdkit lists the exports {found}, expected {wanted}")


def check_plugin_export(socket, export, expected, rng):
    contexts = ["base:allocation"]
    check_export(socket, export, expected, contexts)
    check_random_requests(socket, expected, contexts, rng, export)


def list_exports(socket):
    names = []
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_unix(socket)
    handle.opt_list(lambda name, _description: names.append(name))
    handle.opt_abort()
    return names


def check_against_qemu(case):
    """A plain chain: depth is QEMU's; allocation is, too, but for zeros that only strata sees.

    Returns how many bytes strata knows to be zero and QEMU calls data."""
    top, content = case.top, case.expected.content
    theirs_socket = case.work.serve_with_qemu("--format=qcow2", top.leaf().filename)
    contexts = ["base:allocation", "qemu:allocation-depth"]
    theirs = connect(theirs_socket, contexts)
    check(theirs.get_size() == top.size, f"qemu-nbd says size {theirs.get_size()}, not {top.size}")
    check_same_bytes(content, read_all(theirs), "content by qemu-nbd")
    maps = whole_maps(theirs, contexts)
    ours = whole_maps(connect(case.socket, contexts), contexts)
    check_same_map(maps["qemu:allocation-depth"], ours["qemu:allocation-depth"],
                   "qemu:allocation-depth, qemu-nbd's and ours")
    better = 0
    for offset, length, value in ours["base:allocation"]:
        for at, size, their_value in values_in(maps["base:allocation"], offset, length):
            # QEMU may call the zeros of a cluster hole or allocated: bit 1 is what they mean.
            if bool(their_value & 2) == bool(value & 2):
                continue
            check(value == 3 and not any(content[at:at + size]),
                  f"base:allocation at {at:#x}: qemu-nbd says {their_value}, strata {value}")
            better += size
    return better


def describe(top, words):
    """The graph in text, for the message about a failure."""
    lines = ["graph: " + " ".join(words)]
    for node in top.preorder():
        children = ", ".join(f"{role}={child.name}" for role, child in node.children.items())
        extra = f" offset={node.offset} size={node.given_size}" if node.driver == "raw" else ""
        lines.append(f"  {node.name}: {node.driver} size={node.size}{extra} {children}")
    return "\n".join(lines)


def check_seed(seed, spoilt=None):
    """Builds and compares the graph of one seed. spoilt: a check that shall be told a lie."""
    rng = random.Random(seed)
    plain = seed % PLAIN_EVERY == 0
    with Workspace() as work:
        builder = graphs.Builder(rng, work.dir, plain)
        content = builder.bytes(builder.size())
        top = builder.node(content, "top", rng.choice((1, 2, 3, 4, 5, 6, 9)))
        check_same_bytes(content, top.read(0, top.size), "the model itself")
        words = graphs.arguments(top, rng)
        model.name_nodes(top)
        try:
            return compare(Case(seed, work, top, words, rng), spoilt)
        except (TestFailure, nbd.Error) as failure:
            raise TestFailure(f"{failure}\n{describe(top, words)}") from failure


def compare(case, spoilt):
    """Everything that this seed has. Returns (is plain, is in nbdkit, bytes better than QEMU)."""
    in_plugin = case.seed % PLUGIN_EVERY == 0
    for check_part in [check_server, check_tool] + [check_plugin] * in_plugin:
        if check_part is spoilt:
            SPOILERS[check_part][0](case)
        check_part(case)
    return case.plain, in_plugin, check_against_qemu(case) if case.plain else 0


def attempt(seed):
    """In a worker process: the seed's outcome, or the text of its failure."""
    try:
        return seed, check_seed(seed), None
    except TestFailure as failure:
        return seed, None, str(failure)


def report_failure(seed, message):
    print(f"FAIL: seed {seed}: {message}\n"
          f"again: STRATA_SEED={seed} {sys.executable} {sys.argv[0]}", flush=True)


def run_seeds(seeds, jobs):
    outcomes, failed = [], 0
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for seed, outcome, message in pool.map(attempt, seeds, chunksize=4):
            if message is None:
                outcomes.append(outcome)
            else:
                report_failure(seed, message)
                failed += 1
    chains, in_plugin, better = map(sum, zip(*outcomes)) if outcomes else (0, 0, 0)
    print(f"{len(outcomes)} graphs equal the model, {in_plugin} of them in nbdkit, too; {chains} "
          f"are plain chains that equal qemu-nbd's depth ({better} bytes known zero that qemu-nbd "
          f"calls data); {failed} failed")
    return failed


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
    check_server: (spoil_zero, "base:allocation of export ''"),
    check_tool: (spoil_leaf, "strata map --json"),
    check_plugin: (spoil_claimed_zero, "base:allocation of export 'only@"),
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


def main():
    environment = os.environ.get("STRATA_SEED")
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(environment) if environment else 1)
    parser.add_argument("--count", type=int, default=1 if environment else 1000)
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    check_that_it_can_fail()
    seeds = range(options.seed, options.seed + options.count)
    sys.exit(1 if run_seeds(seeds, options.jobs) else 0)


if __name__ == "__main__":
    main()
