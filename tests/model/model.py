# SPDX-License-Identifier: LGPL-2.1-or-later
# model.py - who supplies each byte of an image graph, answered naively.
#
# An oracle for strata: DESIGN.md section 3 word by word, one point at a time, with no windows of
# ranges, no tables and no caches. A node answers for the byte at an offset, and for how many more
# bytes the answer surely holds: never past the end of a cluster, a hole or a child.
import bisect
import collections

# claimant: Node or None; depth: as qemu:allocation-depth; zero: known to read as zeros; past_end:
# claimed by a layer that ends before; length: for how many bytes this surely holds; leaf: the File
# that has the bytes, and where; None for zeros that are in no file.
Answer = collections.namedtuple("Answer", "claimant depth zero past_end length leaf leaf_offset",
                                defaults=(None, None))

# A run of a map: offset, length, and the same facts.
Run = collections.namedtuple("Run", "offset length claimant depth zero past_end leaf leaf_offset")


class Node:
    """A node of the graph; children by role, in the order of roles."""

    driver = None

    def __init__(self, size, **children):
        self.size = size
        self.children = {role: child for role, child in children.items() if child is not None}
        self.name = None

    def preorder(self):
        yield self
        for role in ("file", "data-file", "backing"):
            if role in self.children:
                yield from self.children[role].preorder()

    def leaf(self):
        """The protocol leaf at the end of the file edges: it gives the node its name."""
        return self.children["file"].leaf() if "file" in self.children else self

    def path(self):
        """The nodes that a walk can be at while nobody has claimed, in walk order."""
        return [self]

    def answer(self, offset):
        raise NotImplementedError

    def read(self, offset, length):
        """The bytes of a range."""
        raise NotImplementedError


class File(Node):
    """A protocol leaf: the bytes of a host file, and where its holes are."""

    driver = "file"

    def __init__(self, filename, content, holes):
        super().__init__(len(content))
        self.filename = filename
        self.content = content
        self.holes = holes  # (start, end), ascending, disjoint, not adjacent
        self.starts = [start for start, _ in holes]

    def answer(self, offset):
        index = bisect.bisect_right(self.starts, offset) - 1
        if index >= 0 and offset < self.holes[index][1]:
            return Answer(self, 1, True, False, self.holes[index][1] - offset)
        following = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
        return Answer(self, 1, False, False, following - offset, self, offset)

    def read(self, offset, length):
        assert offset + length <= self.size
        return self.content[offset:offset + length]


class Raw(Node):
    """A layer on a protocol leaf; a window on everything else."""

    driver = "raw"

    def __init__(self, child, offset=None, size=None):
        length = child.size - (offset or 0) if size is None else size
        assert 0 <= length and (offset or 0) + length <= child.size
        super().__init__(length, file=child)
        self.offset, self.given_size = offset, size

    @property
    def is_layer(self):
        return isinstance(self.children["file"], File)

    def path(self):
        return [self] if self.is_layer else [self] + self.children["file"].path()

    def answer(self, offset):
        below = self.children["file"].answer(offset + (self.offset or 0))
        length = min(below.length, self.size - offset)
        if self.is_layer:
            return Answer(self, 1, below.zero, False, length, below.leaf, below.leaf_offset)
        return below._replace(length=length)

    def read(self, offset, length):
        assert offset + length <= self.size
        return self.children["file"].read(offset + (self.offset or 0), length)


class Qcow2(Node):
    """An overlay: its clusters (or subclusters) and who stands behind them."""

    driver = "qcow2"
    DATA, ZERO = "data", "zero"

    def __init__(self, size, unit_size, units_per_cluster, kinds, hosts, file, data_file=None,
                 backing=None):
        super().__init__(size, file=file, **{"data-file": data_file}, backing=backing)
        self.unit_size, self.units_per_cluster = unit_size, units_per_cluster
        self.kinds = kinds  # unit: DATA or ZERO; not there: unallocated
        self.hosts = hosts  # cluster: offset in the storage child

    @property
    def storage(self):
        return self.children.get("data-file", self.children["file"])

    def path(self):
        backing = self.children.get("backing")
        return [self] + (backing.path() if backing else [])

    def host_offset(self, offset):
        cluster_size = self.unit_size * self.units_per_cluster
        return self.hosts[offset // cluster_size] + offset % cluster_size

    def answer(self, offset):
        length = min(self.unit_size - offset % self.unit_size, self.size - offset)
        kind = self.kinds.get(offset // self.unit_size)
        if kind == self.ZERO:
            return Answer(self, 1, True, False, length)
        if kind == self.DATA:
            stored = self.storage.answer(self.host_offset(offset))
            return Answer(self, 1, stored.zero, False, min(length, stored.length),
                          stored.leaf, stored.leaf_offset)
        return self.deferred(offset, length)

    def deferred(self, offset, length):
        backing = self.children.get("backing")
        if backing is None:
            return Answer(None, 0, True, False, length)
        if offset >= backing.size:
            return Answer(backing, 2, True, True, length)
        below = backing.answer(offset)
        depth = below.depth + 1 if below.claimant else 0
        return below._replace(depth=depth, length=min(length, below.length))

    def read(self, offset, length):
        assert offset + length <= self.size
        parts = []
        while length:
            part = min(length, self.unit_size - offset % self.unit_size)
            parts.append(self.read_unit(offset, part))
            offset, length = offset + part, length - part
        return b"".join(parts)

    def read_unit(self, offset, length):
        kind = self.kinds.get(offset // self.unit_size)
        if kind == self.DATA:
            return self.storage.read(self.host_offset(offset), length)
        backing = self.children.get("backing")
        if kind == self.ZERO or backing is None or offset >= backing.size:
            return bytes(length)
        there = min(length, backing.size - offset)
        return backing.read(offset, there) + bytes(length - there)


def resolve(top):
    """The whole map of a node: consecutive runs, neighbours differ."""
    runs, offset = [], 0
    while offset < top.size:
        answer = top.answer(offset)
        if runs and _goes_on(runs[-1], answer):
            runs[-1] = runs[-1]._replace(length=runs[-1].length + answer.length)
        else:
            runs.append(Run(offset, answer.length, *answer[:4], *answer[5:]))
        offset += answer.length
    return runs


def _goes_on(run, answer):
    """Whether an answer says the same of the next bytes; of data, that they lie side by side."""
    return run[2:7] == answer[:4] + answer[5:6] and \
        (run.leaf is None or run.leaf_offset + run.length == answer.leaf_offset)


def merge(pieces):
    """(length, value) pieces to (offset, length, value) extents whose neighbours differ."""
    merged, offset = [], 0
    for length, value in pieces:
        if merged and merged[-1][2] == value:
            merged[-1] = (merged[-1][0], merged[-1][1] + length, value)
        else:
            merged.append((offset, length, value))
        offset += length
    return merged


def _joint(run, layers):
    return (3 if run.zero else 0) | (_layer(run, layers) << 8) | \
        (4 if run.claimant else 0) | (32 if run.past_end else 0)


def _layer(run, layers):
    return layers.index(run.claimant.name) + 1 if run.claimant else 0


def context_map(runs, context, top, layers):
    """What a client must be told in a metadata context (DESIGN.md section 4).

    layers: node names in the order in which the server lists its strata:only: contexts.
    """
    kind, _, name = context.rpartition(":")
    if context == "base:allocation":
        def value(run): return 3 if run.zero else 0
    elif context == "qemu:allocation-depth":
        def value(run): return run.depth
    elif context == "strata:layer":
        def value(run): return _layer(run, layers)
    elif context == "strata:joint":
        def value(run): return _joint(run, layers)
    elif kind == "strata:only":
        def value(run): return int(run.claimant is not None and run.claimant.name == name)
    elif kind in ("strata:above", "qemu:dirty-bitmap:above"):
        node = next(node for node in top.preorder() if node.name == name)
        within = set(node.preorder())
        def value(run): return int(run.claimant is not None and run.claimant not in within)
    else:
        raise ValueError(f"no such context in the model: {context}")
    return merge((run.length, value(run)) for run in runs)


def view_map(runs, is_shown):
    """base:allocation of the plugin's only@ and above@ (DESIGN.md section 4, its last paragraph).

    is_shown: whether the view shows what a claimant supplies."""
    def value(run):
        if run.claimant is None or not is_shown(run.claimant):
            return 3
        return 2 if run.zero else 0
    return merge((run.length, value(run)) for run in runs)


def name_nodes(top):
    """Gives every node without a name the one that strata gives it."""
    taken = {node.name for node in top.preorder() if node.name}
    for node in top.preorder():
        if node.name:
            continue
        name = _default_name(node)
        number, candidate = 2, name
        while candidate in taken:
            candidate, number = f"{name}-{number}", number + 1
        taken.add(candidate)
        node.name = candidate


def _default_name(node):
    base = node.leaf().filename.rpartition("/")[2]
    base = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in base)
    if isinstance(node, File):
        return base + "-file"
    return base + ("-raw" if isinstance(node, Raw) and not node.is_layer else "")
