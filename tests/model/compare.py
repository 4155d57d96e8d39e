# SPDX-License-Identifier: LGPL-2.1-or-later
# compare.py - compares all that strata says of a graph with the model, and with QEMU.
#
# strata-nbd serves the graph, and everything that it says over NBD is compared: content, every
# context, the exports of inner nodes and of snapshots, and requests of any size in any order.
# "strata map" must say the same, and where in which host file the bytes lie. nbdkit must show the
# same image, and all views of its layers.
import json

import nbd

import graphs
import model
import spec_text
from functions import (STRATA, block_status, check, check_same_bytes, check_same_map, connect,
                       list_contexts, read_all, run, whole_maps)

BITMAP = "qemu:dirty-bitmap:"


class Expected:
    """What the model says of one node, context by context."""

    def __init__(self, top, layers):
        self.top, self.layers = top, layers
        self.runs = model.resolve(top)
        self.content = top.read(0, top.size)
        self.maps = {}

    def map(self, context):
        if context not in self.maps:
            self.maps[context] = model.context_map(self.runs, context, self.top, self.layers)
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

    def __init__(self, work, top, words, rng):
        """words: what names the graph on a command line; it is served at once."""
        self.work, self.top, self.words, self.rng = work, top, words, rng
        self.lent = graphs.lent(top, work.dir)
        self.socket = work.serve(*self.lent, *words)
        self.layers = listed_layers(self.socket)
        self.expected = Expected(top, self.layers)

    def spoil_run(self, index, **facts):
        self.expected.runs[index] = self.expected.runs[index]._replace(**facts)


def check_listed_layers(layers, expected_top, runs):
    """strata:only: lists all who can claim, in walk order, and nobody else."""
    wanted = [node.name for node in model.layers(expected_top)]
    check(layers == wanted, f"strata:only: lists {layers}, expected {wanted}")
    claimants = {run.claimant.name for run in runs if run.claimant}
    check(claimants <= set(layers), f"{claimants - set(layers)} claim, but are not listed")


def all_contexts(top, rng):
    names = [node.name for node in top.preorder()]
    some = rng.sample(names, min(3, len(names)))
    contexts = ["base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint"]
    contexts += [f"strata:only:{node.name}" for node in top.path()][:6]
    contexts += [f"strata:above:{name}" for name in some]
    contexts += [f"{BITMAP}above:{name}" for name in some]
    contexts += [BITMAP + name for name in model.offered_bitmaps(top)][:4]
    return contexts


def check_listed_bitmaps(socket, top, export=""):
    """Those that can be trusted are listed; those that cannot are not to be had."""
    listed = list_contexts(socket, BITMAP, export)
    wanted = {f"{BITMAP}above:{node.name}" for node in top.path()}
    wanted |= {BITMAP + name for name in model.offered_bitmaps(top)}
    check(set(listed) == wanted and len(listed) == len(wanted),
          f"export '{export}' lists the bitmaps {sorted(listed)}, expected {sorted(wanted)}")
    for name in model.list_bitmaps(top).keys() - set(model.offered_bitmaps(top)):
        handle = nbd.NBD()
        handle.set_export_name(export)
        handle.add_meta_context(BITMAP + name)
        try:
            handle.connect_unix(socket)
        except nbd.Error:
            continue
        check(not handle.can_meta_context(BITMAP + name), f"bitmap {name} is in use, but offered")


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
    """The nodes that are exports of their own: a leaf that only stores is no image, and a layer
    behind a server is seen over there."""
    return [node for node in top.preorder() if not isinstance(node, model.RemoteLayer) and
            (not node.is_storage or node in top.path())]


def check_inner_exports(case):
    """@NODE is the image from NODE down."""
    served = images(case.top)
    for node in case.rng.sample(served, min(2, len(served))):
        check_view(case.socket, "@" + node.name, node)


def check_snapshots(case):
    """@NODE:SNAPSHOT is that image with the snapshot in place of the disk of today."""
    kept = [(node, snapshot) for node in case.top.preorder() if isinstance(node, model.Qcow2)
            for snapshot in node.snapshots]
    for node, snapshot in case.rng.sample(kept, min(2, len(kept))):
        word = case.rng.choice(graphs.words_for(node.snapshots, snapshot))
        check_view(case.socket, f"@{node.name}:{word}", node.at(snapshot))
    path = case.top.path()
    wanted = {f"@{node.name}:{listed_word(node.snapshots, snapshot)}"
              for node, snapshot in kept if node in path}
    found = {name for name in list_exports(case.socket) if ":" in name}
    check(found == wanted, f"the exports {found} of snapshots are listed, expected {wanted}")


def listed_word(snapshots, snapshot):
    """The name where it leads to that snapshot alone, else the ID."""
    others = [other for other in snapshots if other is not snapshot]
    ambiguous = any(snapshot.name in (other.id, other.name) for other in others)
    return snapshot.id if ambiguous or not snapshot.name else snapshot.name


def check_view(socket, export, node):
    layers = listed_layers(socket, export)
    expected = Expected(node, layers)
    check_listed_layers(layers, node, expected.runs)
    contexts = ["base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint"]
    contexts += [BITMAP + name for name in model.offered_bitmaps(node)][:2]
    check_export(socket, export, expected, contexts)


def check_server(case):
    """strata-nbd: every context, and the exports of inner nodes and snapshots."""
    check_listed_layers(case.layers, case.top, case.expected.runs)
    check_listed_bitmaps(case.socket, case.top)
    contexts = all_contexts(case.top, case.rng)
    check_export(case.socket, "", case.expected, contexts)
    check_random_requests(case.socket, case.expected, contexts, case.rng)
    check_random_requests(case.socket, case.expected, contexts, case.rng)
    check_inner_exports(case)
    check_snapshots(case)


def listed_layers(socket, export=""):
    prefix = "strata:only:"
    return [name[len(prefix):] for name in list_contexts(socket, prefix, export)
            if name.startswith(prefix)]


def check_tool(case):
    """strata map --json: the same runs, claimants by name, and where their bytes lie."""
    told = json.loads(run(STRATA, "map", "--json", *case.lent, *case.words))
    found = [(extent["offset"], extent["length"], facts_told(extent)) for extent in told]
    wanted = [(run.offset, run.length, facts_expected(run)) for run in case.expected.runs]
    check_same_map(wanted, found, "strata map --json")
    for extent in told:
        if extent["leaf"] is not None and is_in_file(extent):
            check_same_bytes(case.expected.content[extent["offset"]:][:extent["length"]],
                             bytes_in_file(extent), f"the file that has the bytes of {extent}")


def is_in_file(extent):
    return extent["leaf-file"] is not None and extent["leaf-file"].startswith("/")


def facts_told(extent):
    encoding = model.COMPRESSED * extent.get("compressed", False) + \
        model.ENCRYPTED * extent.get("encrypted", False)
    return (extent["layer"], extent["depth"], extent["zero"], extent.get("past-end", False),
            encoding, extent["leaf"], extent["leaf-offset"],
            extent["leaf-file"] if is_in_file(extent) else None)


def facts_expected(run):
    leaf = run.leaf
    return (run.claimant.name if run.claimant else None, run.depth, run.zero, run.past_end,
            run.encoding, leaf.name if leaf else None, run.leaf_offset,
            leaf.filename if leaf else None)


def bytes_in_file(extent):
    with open(extent["leaf-file"], "rb") as file:
        file.seek(extent["leaf-offset"])
        return file.read(extent["length"])


def check_plugin(case):
    """nbdkit: the image, images within it, and for every layer what only@ and above@ it lies."""
    top, rng = case.top, case.rng
    socket = case.work.serve_with_nbdkit(*plugin_words(case.lent + case.words))
    check_plugin_exports(socket, case)
    check_plugin_export(socket, "", case.expected, rng)
    served = images(top)
    for node in rng.sample(served, min(2, len(served))):
        check_plugin_export(socket, "@" + node.name, Expected(node, []), rng)
    for node in top.preorder():
        within = set(node.preorder())
        above = ExpectedView(case.expected, lambda claimant: claimant not in within)
        check_plugin_export(socket, "above@" + node.name, above, rng)
        if node.name in case.layers:
            only = ExpectedView(case.expected, lambda claimant: claimant is node)
            check_plugin_export(socket, "only@" + node.name, only, rng)


def plugin_words(words):
    """The words for strata-nbd as parameters of the plugin."""
    if words[0] == "--object":
        return ["object=" + words[1]] + plugin_words(words[2:])
    if words[0] == "--allow":
        return ["allow=" + words[1]] + plugin_words(words[2:])
    if words[0] == "--image-opts":
        return ["spec=" + words[1]]
    if words[0].startswith("json:"):
        return ["spec=" + words[0]]
    return ["file=" + words[-1]] + (["format=" + words[1]] if words[0] == "--format" else [])


def check_plugin_exports(socket, case):
    path = case.top.path()
    wanted = [""] + ["@" + node.name for node in path if node in images(case.top)] + \
        ["only@" + name for name in case.layers] + ["above@" + node.name for node in path]
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
    theirs_socket = case.work.serve_with_qemu("--allocation-depth", *qemu_words(case))
    contexts = ["base:allocation", "qemu:allocation-depth"]
    theirs = connect(theirs_socket, contexts)
    check(theirs.get_size() == top.size, f"qemu-nbd says size {theirs.get_size()}, not {top.size}")
    check_same_bytes(content, read_all(theirs), "content by qemu-nbd")
    maps = whole_maps(theirs, contexts)
    ours = whole_maps(connect(case.socket, contexts), contexts)
    check_same_map(maps["qemu:allocation-depth"], ours["qemu:allocation-depth"],
                   "qemu:allocation-depth, qemu-nbd's and ours")
    check_bitmap_against_qemu(case)
    check_snapshot_against_qemu(case)
    return count_better_zeros(content, maps["base:allocation"], ours["base:allocation"])


def qemu_words(case):
    if spec_text.needs_user(case.top):
        return [*graphs.objects(case.top, case.work.dir), spec_text.qemu_argument(case.top)]
    return ["--format=" + case.top.driver, case.top.leaf().filename]


def count_better_zeros(content, theirs, ours):
    better = 0
    for offset, length, value in ours:
        for at, size, their_value in values_in(theirs, offset, length):
            # QEMU may call the zeros of a cluster hole or allocated: bit 1 is what they mean.
            if bool(their_value & 2) == bool(value & 2):
                continue
            check(value == 3 and not any(content[at:at + size]),
                  f"base:allocation at {at:#x}: qemu-nbd says {their_value}, strata {value}")
            better += size
    return better


def check_bitmap_against_qemu(case):
    """One of the bitmaps; QEMU finds those of backing files, too."""
    found = model.whole_bitmaps(case.top)
    if not found:
        return
    name = case.rng.choice(found)
    socket = case.work.serve_with_qemu("--bitmap=" + name, *qemu_words(case))
    theirs = whole_maps(connect(socket, [BITMAP + name]), [BITMAP + name])
    ours = whole_maps(connect(case.socket, [BITMAP + name]), [BITMAP + name])
    check_same_map(theirs[BITMAP + name], ours[BITMAP + name], f"bitmap {name}, qemu's and ours")


def check_snapshot_against_qemu(case):
    """QEMU shows a snapshot in the size of the disk of today."""
    top = case.top
    if not isinstance(top, model.Qcow2) or not top.snapshots:
        return
    snapshot = case.rng.choice(top.snapshots)
    view, copied = top.at(snapshot), case.work.path("snapshot.raw")
    run("qemu-img", "convert", *graphs.objects(top, case.work.dir), "-l",
        "snapshot.id=" + snapshot.id, "-O", "raw", spec_text.qemu_argument(top), copied)
    with open(copied, "rb") as file:
        theirs = file.read(view.size)
    ours = read_all(connect(case.socket, [], f"@{top.name}:{snapshot.id}"))
    check_same_bytes(theirs, ours[:len(theirs)], f"snapshot {snapshot.id}, qemu-img's and ours")


def describe(top, words):
    """The graph in text, for the message about a failure."""
    lines = ["graph: " + " ".join(words)]
    for node in top.preorder():
        children = ", ".join(f"{role}={child.name}" for role, child in node.children.items())
        extra = f" offset={node.offset} size={node.given_size}" if node.driver == "raw" else ""
        if isinstance(node, model.Qcow2):
            extra = "".join(f" {what}" for what, there in
                            (("encrypted", node.key), ("at a snapshot", node.opened_snapshot),
                             ("snapshots", node.snapshots), ("bitmaps", node.bitmaps)) if there)
        if isinstance(node, model.Nbd):
            extra = f" tells {node.tells}"
        lines.append(f"  {node.name}: {node.driver} size={node.size}{extra} {children}")
        if isinstance(node, model.Nbd):
            lines += ["    " + line for line in describe(node.remote, []).splitlines()[1:]]
    return "\n".join(lines)
