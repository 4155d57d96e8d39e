# SPDX-License-Identifier: LGPL-2.1-or-later
# model.py - who supplies each byte of an image graph, answered naively.
#
# An oracle for strata: the rules of docs/resolving.md word by word, one point at a time, with no windows of
# ranges, no tables and no caches. A node answers for the byte at an offset, and for how many more
# bytes the answer surely holds: never past the end of a cluster, a hole or a child.
import bisect
import collections
import copy

# claimant: Node or None; depth: as qemu:allocation-depth; zero: known to read as zeros; past_end:
# claimed by a layer that ends before; encoding: COMPRESSED, ENCRYPTED; length: for how many bytes
# this surely holds; leaf: the node that delivers the bytes, and where; None for zeros that are in
# no file.
Answer = collections.namedtuple(
    "Answer", "claimant depth zero past_end encoding length leaf leaf_offset",
    defaults=(None, None))

# A run of a map: offset, length, and the same facts.
Run = collections.namedtuple(
    "Run", "offset length claimant depth zero past_end encoding leaf leaf_offset")

HOLE, ZERO, CLAIMED, COMPRESSED, ENCRYPTED, PAST_END = (1 << bit for bit in range(6))  # of joint


class Node:
    """A node of the graph; children by role, in the order of roles."""

    driver = None
    is_storage = False  # a leaf that only holds bytes: a raw node above it is a layer
    filename = None
    claims = True  # may answer for itself, and does not just pass a question on

    def __init__(self, size, **children):
        self.size = size
        self.children = {role: child for role, child in children.items() if child is not None}
        self.name = None
        self.bitmaps, self.bitmaps_lost = [], False

    def preorder(self):
        yield self
        for role in ("file", "data-file", "backing"):
            if role in self.children:
                yield from self.children[role].preorder()

    def leaf(self):
        """The protocol leaf at the end of the file edges: it gives the node its name."""
        return self.children["file"].leaf() if "file" in self.children else self

    def forwards_to(self):
        """The child that may decide for this node, and the offset there of byte 0; or None."""
        return None, 0

    def places(self):
        """The nodes that a walk can be at while nobody has claimed, in walk order, each with the
        offset of its own at which byte 0 of this node is found."""
        child, offset = self.forwards_to()
        below = child.places() if child else []
        return [(self, 0)] + [(node, offset + at) for node, at in below]

    def path(self):
        return [node for node, _ in self.places()]

    def answer(self, offset):
        raise NotImplementedError

    def read(self, offset, length):
        """The bytes of a range."""
        raise NotImplementedError


class File(Node):
    """A protocol leaf: the bytes of a host file, and where its holes are."""

    driver = "file"
    is_storage = True

    def __init__(self, filename, content, holes):
        super().__init__(len(content))
        self.filename = filename
        self.content = content
        self.holes = holes  # (start, end), ascending, disjoint, not adjacent
        self.starts = [start for start, _ in holes]

    def answer(self, offset):
        index = bisect.bisect_right(self.starts, offset) - 1
        if index >= 0 and offset < self.holes[index][1]:
            return Answer(self, 1, True, False, 0, self.holes[index][1] - offset)
        following = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
        return Answer(self, 1, False, False, 0, following - offset, self, offset)

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
        return self.children["file"].is_storage

    @property
    def claims(self):
        return self.is_layer

    def forwards_to(self):
        return (None, 0) if self.is_layer else (self.children["file"], self.offset or 0)

    def answer(self, offset):
        below = self.children["file"].answer(offset + (self.offset or 0))
        length = min(below.length, self.size - offset)
        if self.is_layer:
            return _stored(self, below, length)
        return below._replace(length=length)

    def read(self, offset, length):
        assert offset + length <= self.size
        return self.children["file"].read(offset + (self.offset or 0), length)


class Luks(Node):
    """Claims all of it: what it decrypts is known to nobody else, holes below included."""

    driver = "luks"

    def __init__(self, content, file):
        super().__init__(len(content), file=file)
        self.content = content

    def answer(self, offset):
        return Answer(self, 1, False, False, ENCRYPTED, self.size - offset, self, offset)

    def read(self, offset, length):
        assert offset + length <= self.size
        return self.content[offset:offset + length]


# A disk of a qcow2 image: that of today, or a snapshot.
#   kinds: unit: Qcow2.DATA, Qcow2.ZERO, COMPRESSED or ENCRYPTED; not there: unallocated
#   hosts: cluster: offset in the storage child
#   decoded: unit: its bytes, for the units that are not in storage as they are
Disk = collections.namedtuple("Disk", "size kinds hosts decoded")

Snapshot = collections.namedtuple("Snapshot", "id name disk")


class Bitmap:
    """dirty: numbers of bits. granularity: bytes for each of them"""

    def __init__(self, name, granularity, dirty, consistent):
        self.name, self.granularity, self.dirty = name, granularity, dirty
        self.consistent = consistent

    def at(self, offset):
        """Whether the byte is dirty, and for how many bytes that surely holds."""
        bit, within = divmod(offset, self.granularity)
        return bit in self.dirty, self.granularity - within


class RemoteBitmap:
    """A bitmap that a server tells of."""

    consistent = True

    def __init__(self, name, remote):
        self.name, self.extents = name, bitmap_map(remote, name)

    def at(self, offset):
        index = bisect.bisect_right(self.extents, offset, key=lambda extent: extent[0]) - 1
        start, length, dirty = self.extents[index]
        return bool(dirty), start + length - offset


class Qcow2(Node):
    """An overlay: its clusters (or subclusters) and who stands behind them."""

    driver = "qcow2"
    DATA, ZERO = "data", "zero"

    def __init__(self, disk, unit_size, units_per_cluster, file, data_file=None, backing=None):
        super().__init__(disk.size, file=file, **{"data-file": data_file}, backing=backing)
        self.unit_size, self.units_per_cluster = unit_size, units_per_cluster
        self.disk, self.snapshots = disk, []
        self.opened_snapshot, self.today = None, self

    @property
    def storage(self):
        return self.children.get("data-file", self.children["file"])

    @property
    def kinds(self):
        return self.disk.kinds

    def forwards_to(self):
        return self.children.get("backing"), 0

    def at(self, snapshot):
        """This node with a snapshot in place of the disk of today: same name, same children. Its
        bitmaps are about the disk of today."""
        node = copy.copy(self)
        node.disk, node.size = snapshot.disk, snapshot.disk.size
        node.bitmaps, node.bitmaps_lost = [], False
        node.opened_snapshot, node.today = snapshot, self
        return node

    def host_offset(self, offset):
        cluster_size = self.unit_size * self.units_per_cluster
        return self.disk.hosts[offset // cluster_size] + offset % cluster_size

    def answer(self, offset):
        length = min(self.unit_size - offset % self.unit_size, self.size - offset)
        kind = self.kinds.get(offset // self.unit_size)
        if kind == self.ZERO:
            return Answer(self, 1, True, False, 0, length)
        if kind == self.DATA:
            return _stored(self, self.storage.answer(self.host_offset(offset)), length)
        if kind is not None:
            return Answer(self, 1, False, False, kind, length, self, offset)
        return self.deferred(offset, length)

    def deferred(self, offset, length):
        backing = self.children.get("backing")
        if backing is None:
            return Answer(None, 0, True, False, 0, length)
        if offset >= backing.size:
            return Answer(backing, 2, True, True, 0, length)
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
        if kind in (COMPRESSED, ENCRYPTED):
            start = offset % self.unit_size
            return self.disk.decoded[offset // self.unit_size][start:start + length]
        backing = self.children.get("backing")
        if kind == self.ZERO or backing is None or offset >= backing.size:
            return bytes(length)
        there = min(length, backing.size - offset)
        return backing.read(offset, there) + bytes(length - there)


class RemoteLayer(Node):
    """A layer that an NBD server told of: a name to claim by, at which no walk arrives."""

    driver = "remote"

    def __init__(self, remote, below):
        super().__init__(remote.size, backing=below)
        self.remote = remote

    def forwards_to(self):
        return self.children.get("backing"), 0


class Nbd(Node):
    """A leaf that is an export of a server.

    remote: the graph over there, as this model sees it; tells: what the server tells of it, one of
      "zeros"   plain storage, with base:allocation
      "depth"   qemu:allocation-depth, too: a chain that stands for one layer here
      "layers"  the strata: contexts, too: each layer over there is one here
    zeros: of a server that sees other zeros than this model: (offset, length, is zero) extents"""

    driver = "nbd"

    def __init__(self, remote, tells, socket, export="", layers=(), zeros=None):
        chain = None
        for layer in reversed(layers):
            chain = RemoteLayer(layer, chain)
        super().__init__(remote.size, backing=chain)
        for layer in list(self.preorder())[1:]:
            layer.server = self
        self.remote, self.tells, self.socket, self.export = remote, tells, socket, export
        self.zeros = zeros
        self.is_storage = tells == "zeros"

    def forwards_to(self):
        return self.children.get("backing"), 0

    def leaf(self):
        return self

    @property
    def claims(self):
        return self.tells != "layers"

    def layer_of(self, claimant):
        if self.tells != "layers":
            return self
        return next(node for node in self.preorder()
                    if isinstance(node, RemoteLayer) and node.remote is claimant)

    def is_zero(self, offset):
        """Whether the server calls it zero, and for how many bytes."""
        index = bisect.bisect_right(self.zeros, offset, key=lambda extent: extent[0]) - 1
        start, length, zero = self.zeros[index]
        return zero, start + length - offset

    def answer(self, offset):
        over_there = self.remote.answer(offset)
        zero, length = over_there.zero, over_there.length
        if self.zeros is not None:
            zero, left = self.is_zero(offset)
            length = min(length, left)
        leaf = (None, None) if zero else (self, offset)
        if self.tells == "zeros":
            return Answer(self, 1, zero, False, 0, length, *leaf)
        if over_there.claimant is None:
            return Answer(None, 0, True, False, 0, length)
        told = self.tells == "layers"
        return Answer(self.layer_of(over_there.claimant), over_there.depth, zero,
                      told and over_there.past_end, over_there.encoding if told else 0, length,
                      *leaf)

    def read(self, offset, length):
        return self.remote.read(offset, length)


def _stored(claimant, below, length):
    """A claim, and what the claimant's storage tells of the bytes."""
    return Answer(claimant, 1, below.zero, False, below.encoding, min(length, below.length),
                  below.leaf, below.leaf_offset)


def resolve(top):
    """The whole map of a node: consecutive runs, neighbours differ."""
    runs, offset = [], 0
    while offset < top.size:
        answer = top.answer(offset)
        if runs and _goes_on(runs[-1], answer):
            runs[-1] = runs[-1]._replace(length=runs[-1].length + answer.length)
        else:
            runs.append(Run(offset, answer.length, *answer[:5], *answer[6:]))
        offset += answer.length
    return runs


def _goes_on(run, answer):
    """Whether an answer says the same of the next bytes; of data, that they lie side by side."""
    return run[2:8] == answer[:5] + answer[6:7] and \
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
    return (HOLE | ZERO if run.zero else 0) | (CLAIMED if run.claimant else 0) | \
        run.encoding | (PAST_END if run.past_end else 0) | (_layer(run, layers) << 8)


def _layer(run, layers):
    return layers.index(run.claimant.name) + 1 if run.claimant else 0


def context_map(runs, context, top, layers):
    """What a client must be told in a metadata context (docs/strata-contexts.pod).

    layers: node names in the order in which the server lists its strata:only: contexts.
    """
    if context.startswith("qemu:dirty-bitmap:") and \
            not context.startswith("qemu:dirty-bitmap:above:"):
        return bitmap_map(top, context.removeprefix("qemu:dirty-bitmap:"))
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


def layers(top):
    """The nodes that can be the claimant of something, in the order in which a walk meets them:
    windows, too, where they are shorter than the overlay above them."""
    path = top.path()
    above = dict(zip(path[1:], path))
    return [node for node in path if node.claims or
            node in above and above[node].children.get("backing") is node and
            node.size < above[node].size]


def offered_bitmaps(top):
    """The names of those that can be trusted."""
    return [name for name, (bitmap, *_) in list_bitmaps(top).items() if bitmap.consistent]


def list_bitmaps(top):
    """{name: (bitmap, node, where in the node byte 0 of top is, how much of top leads there)}: of
    one name the topmost. Past the end of a node nothing below it shows; and below a node that has
    lost its bitmaps each could have a namesake there that must hide it."""
    found, end = {}, top.size
    for node, offset in top.places():
        end = min(end, node.size - offset)
        for bitmap in node.bitmaps:
            found.setdefault(bitmap.name, (bitmap, node, offset, end))
        if node.bitmaps_lost:
            break
    return found


def whole_bitmaps(top):
    """The names of those whose node is as long as top, and no node on the way is shorter: where it
    is not so QEMU asserts, or tells of what is not there."""
    return [name for name, (bitmap, node, _, end) in list_bitmaps(top).items()
            if bitmap.consistent and node.size == end == top.size]


def bitmap_map(top, name):
    """A bitmap of a chain, seen from top."""
    bitmap, _, offset, end = list_bitmaps(top)[name]
    pieces, at = [], 0
    while at < end:
        dirty, length = bitmap.at(offset + at)
        pieces.append((min(length, end - at), int(dirty)))
        at += length
    return merge(pieces + [(top.size - max(0, end), 0)] * (end < top.size))


def view_map(runs, is_shown):
    """base:allocation of the plugin's only@ and above@ (docs/nbdkit-strata-plugin.pod).

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
    if isinstance(node, RemoteLayer):
        return f"{node.server.name}/{node.remote.name}"
    leaf = node.leaf()
    path = leaf.export or leaf.socket if isinstance(leaf, Nbd) else leaf.filename
    base = path.rpartition("/")[2]
    base = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in base)
    if isinstance(node, File):
        return base + "-file"
    if isinstance(node, Nbd):
        return base + ("-nbd" if node.is_storage else "")
    return base + ("-raw" if isinstance(node, Raw) and not node.is_layer else "")
