# SPDX-License-Identifier: LGPL-2.1-or-later
# graphs.py - random image graphs on disk, with the model of each.
#
# It builds from the top down: given the bytes that a node must show, it chooses a driver, decides
# who below supplies which part, fills what nobody may see with rubbish, and builds the children
# in the same way. An image file is nothing but bytes that a storage child must show, so that
# images in images, windows below images, and data files that are images come about by themselves.
import os

import qcow2_writer
from model import File, Qcow2, Raw

HOLE_BLOCK = 4096  # what host file systems punch in; Builder checks that this one does


def actual_holes(filename):
    """The holes that the host tells of."""
    holes, at = [], 0
    with open(filename, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: no data behind this place
                data = size
            if data > at:
                holes.append((at, data))
            if data < size:
                data = os.lseek(file.fileno(), data, os.SEEK_HOLE)
            at = data
    return holes


def zero_blocks(content):
    """The aligned blocks that hold nothing but zeros, joined to (start, end) runs."""
    runs, zeros = [], bytes(HOLE_BLOCK)
    for start in range(0, len(content), HOLE_BLOCK):
        block = content[start:start + HOLE_BLOCK]
        if block != zeros[:len(block)]:
            continue
        end = start + len(block)
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def write_file(filename, content, holes):
    """Writes every byte that is not in a hole, zeros too, and leaves the holes untouched."""
    with open(filename, "wb") as file:
        at = 0
        for start, end in holes + [(len(content), len(content))]:
            file.seek(at)
            file.write(content[at:start])
            at = end
        file.truncate(len(content))
    found = actual_holes(filename)
    assert found == holes, f"this file system keeps holes {found}, wanted {holes}"


class Builder:
    """Makes nodes. plain: only what QEMU itself resolves right: qcow2 over qcow2 over a base."""

    def __init__(self, rng, folder, plain=False):
        self.rng, self.folder, self.plain = rng, folder, plain
        self.files = 0

    def chance(self, percent):
        return self.rng.randrange(100) < percent

    # -- bytes

    def bytes(self, size):
        """Zeros and data in pieces of all sizes."""
        parts, left = [], size
        while left:
            length = min(left, self.rng.choice((1, 512, 4096, 4096, 65536)) *
                         self.rng.randint(1, 24))
            kind = self.rng.randrange(100)
            if kind < 45:
                parts.append(bytes(length))
            elif kind < 90:
                parts.append(self.rng.randbytes(length))
            else:
                parts.append(bytes((self.rng.randrange(256),)) * length)
            left -= length
        return b"".join(parts)

    def size(self):
        if self.plain:
            return 512 * self.rng.choice((1, 7, 2048, 2049, 9000, self.rng.randint(1, 16000)))
        return self.rng.choice((1, 511, 65536, 1 << 20, (1 << 20) + 1, 3 << 20,
                                self.rng.randint(1, 1 << 14), self.rng.randint(1, 1 << 22),
                                512 * self.rng.randint(1, 6000), 512 * self.rng.randint(1, 6000)))

    # -- nodes

    def filename(self, extension):
        self.files += 1
        odd = ", =" if not self.plain and self.chance(5) else ""
        return f"{self.folder}/f{self.files}{odd}.{extension}"

    def node(self, content, place, budget):
        """place: top, backing or storage."""
        if self.plain:
            return self.plain_node(content, place, budget)
        drivers = {"top": (("qcow2", 66), ("raw", 30), ("file", 4)),
                   "backing": (("qcow2", 55), ("raw", 40), ("file", 5)),
                   "storage": (("qcow2", 16), ("raw", 20), ("file", 64))}[place]
        names, weights = zip(*drivers)
        driver = self.rng.choices(names, weights)[0] if budget > 0 else \
            "file" if place == "storage" else "raw"
        if driver == "qcow2":
            return self.qcow2(content, budget)
        return self.raw(content, budget) if driver == "raw" else self.file(content, "raw")

    def plain_node(self, content, place, budget):
        if place == "storage":
            return self.file(content, "raw")
        # QEMU does not see the last, odd sector of a qcow2; of a raw image it does.
        odd = len(content) % 512
        if place == "top" or (budget > 0 and not odd and self.chance(75)):
            return self.qcow2(content, budget)
        return Raw(self.file(content, "raw"))

    def file(self, content, extension):
        filename = self.filename(extension)
        holes = [run for run in zero_blocks(content) if self.chance(60)]
        write_file(filename, content, holes)
        return File(filename, bytes(content), holes)

    def raw(self, content, budget):
        offset = self.rng.choice((None, None, 0, 512, 65536, 512 * self.rng.randint(1, 300),
                                  self.rng.randint(1, 100000)))
        before = self.bytes(offset or 0)
        after = b""
        size = None
        if len(content) % 512 == 0 and self.chance(35):
            size = len(content)
            after = self.bytes(self.rng.choice((0, 512, 70000)))
        inner = before + content + after
        if budget > 0 and self.chance(65):
            child = self.qcow2(inner, budget - 1)
        elif budget > 0 and self.chance(30):
            child = self.raw(inner, budget - 1)
        else:
            child = self.file(inner, "raw")
        return Raw(child, offset, size)

    # -- qcow2

    def qcow2(self, content, budget):
        image = self.qcow2_form(len(content))
        backing_size = self.backing_size(len(content)) \
            if budget > 0 and not image.data_file_raw and self.chance(85 if self.plain else 65) \
            else None
        self.choose_units(image, content, backing_size)
        self.preallocate(image)
        hosts_blob = self.external_data(image, content) if image.external_data else None

        backing = None
        if backing_size is not None:
            below = self.below(image, content, backing_size)
            backing = self.node(below, "backing", budget - 1 - self.rng.randrange(2))
        data_file = None
        if hosts_blob is not None:
            data_file = self.node(hosts_blob, "storage", budget - 1)
        return self.write_qcow2(image, backing, data_file, budget)

    def qcow2_form(self, size):
        image = qcow2_writer.Image(size)
        image.version = self.rng.choice((2, 3, 3, 3))
        image.cluster_bits = self.rng.choice((9, 9, 10, 12, 13, 14, 15, 16, 16, 16, 17, 18))
        if self.chance(2):
            image.cluster_bits = self.rng.choice((19, 20, 21))
        image.l1_extra = self.rng.choice((0, 0, 0, 1, 5))
        image.empty_l2 = self.chance(20)
        if image.version == 2:
            return image
        image.refcount_order = self.rng.randrange(7)
        image.header_length = self.rng.choice((104, 112, 112))
        image.extended_l2 = image.cluster_bits >= 14 and self.chance(40)
        image.external_data = self.chance(15)
        image.data_file_raw = image.external_data and self.chance(40)
        return image

    def backing_size(self, size):
        unit = 512 if self.plain and self.chance(40) else 1
        other = self.rng.randint(1, 2 * size // unit + 2) * unit
        return self.rng.choice((size, size, size, other, max(unit, other // 4 // unit * unit)))

    def choose_units(self, image, content, backing_size):
        """Runs of units of one kind each, as far as the content lets them."""
        unit = 0
        while unit < image.n_units:
            wish = self.rng.choice(("data", "data", "zero", "defer", "defer"))
            for _ in range(self.rng.choice((1, 1, 2, 5, 40))):
                if unit < image.n_units:
                    self.choose_unit(image, unit, wish, content, backing_size)
                unit += 1

    def choose_unit(self, image, unit, wish, content, backing_size):
        start = unit * image.unit_size
        chunk = content[start:start + image.unit_size]
        only_zeros = not any(chunk)
        beyond = chunk[max(0, (backing_size or 0) - start):]
        if wish == "defer" and not any(beyond):
            return
        if image.version > 2 and only_zeros and (wish != "data" or self.chance(30)):
            image.units[unit] = qcow2_writer.ZERO
        else:
            image.units[unit] = bytes(chunk)

    def preallocate(self, image):
        """Host clusters behind zero clusters; under extended L2 behind unallocated ones, too."""
        for cluster in range(image.n_clusters):
            if image.extended_l2:
                eligible = True
            else:
                eligible = image.units.get(cluster) == qcow2_writer.ZERO
            if eligible and self.chance(15):
                image.preallocated.add(cluster)

    def external_data(self, image, content):
        """What the data file holds: the data where the guest has it, rubbish elsewhere."""
        if image.data_file_raw:
            return content
        blob = bytearray(self.bytes(len(content) + self.rng.choice((0, 0, 512, 66048))))
        for unit, what in image.units.items():
            if what != qcow2_writer.ZERO:
                start = unit * image.unit_size
                blob[start:start + len(what)] = what
        return bytes(blob)

    def below(self, image, content, backing_size):
        """What the backing node must show: the truth where we defer to it, rubbish elsewhere."""
        if self.chance(50):
            blob = bytearray(self.bytes(backing_size))
        else:
            blob = bytearray(content[:backing_size].ljust(backing_size, b"\x5a"))
        for unit in range(image.n_units):
            if unit not in image.units:
                start = unit * image.unit_size
                end = min(start + image.unit_size, len(content), backing_size)
                if start < end:
                    blob[start:end] = content[start:end]
        return bytes(blob)

    def write_qcow2(self, image, backing, data_file, budget):
        lies = self.name_backing(image, backing)
        named_data_file = self.name_data_file(image, data_file)
        for option, value in (("feature_names", qcow2_writer.FEATURE_NAMES),
                              ("unknown_extension", self.rng.randbytes(13))):
            if self.chance(50):
                empty = getattr(image, option)
                setattr(image, option, value)
                if not qcow2_writer.fits(image):
                    setattr(image, option, empty)
        composed = qcow2_writer.compose(image, self.rng)
        if self.plain or self.chance(75):
            file = self.file(composed.blob, "qcow2")
        else:
            file = self.node(bytes(composed.blob), "storage", budget - 1)
        kinds = {unit: Qcow2.ZERO if what == qcow2_writer.ZERO else Qcow2.DATA
                 for unit, what in image.units.items()}
        node = Qcow2(image.size, image.unit_size, image.units_per_cluster, kinds, composed.hosts,
                     file, data_file, backing)
        node.names_backing = image.backing is not None and backing is not None and not lies
        node.names_wrong_backing = lies
        node.names_data_file = named_data_file
        return node

    def name_backing(self, image, backing):
        """Puts the backing file into the header, or a lie, or nothing; True for a lie."""
        if not self.plain and not image.data_file_raw and self.chance(8):
            image.backing, image.backing_format = "no-such-file", "qcow2"
            if qcow2_writer.fits(image):
                return True
            image.backing = image.backing_format = None
        if backing is None or not (self.plain or self.chance(70)):
            return False
        name, image.backing_format = header_name(backing, self.rng)
        if name is not None:
            image.backing = name
            if qcow2_writer.fits(image):
                return False
        assert not self.plain, "a plain chain's names must fit"
        image.backing = image.backing_format = None
        return False

    def name_data_file(self, image, data_file):
        if not isinstance(data_file, File) or not (self.plain or self.chance(60)):
            return False
        # QEMU takes a relative name against its own directory; strata, against the image's.
        image.data_file = data_file.filename if self.plain else \
            self.rng.choice((data_file.filename, os.path.basename(data_file.filename)))
        if qcow2_writer.fits(image):
            return True
        image.data_file = os.path.basename(data_file.filename)
        if qcow2_writer.fits(image):
            return True
        image.data_file = None
        return False


# -- how a graph is written down

def is_bare_layer(node):
    return isinstance(node, Raw) and node.is_layer and node.offset is None and \
        node.given_size is None


def is_self_contained(node):
    """Whether opening the node's file by its format's name is enough to get all of it."""
    if is_bare_layer(node):
        return True
    return isinstance(node, Qcow2) and isinstance(node.children["file"], File) and \
        not node.names_wrong_backing and \
        ("backing" not in node.children or node.names_backing) and \
        ("data-file" not in node.children or node.names_data_file)


def header_name(node, rng):
    """(name, format) by which an overlay's header can name a node; (None, None) if it cannot."""
    if isinstance(node, File):
        return None, None
    if is_self_contained(node):
        filename = node.leaf().filename
        return rng.choice((filename, os.path.basename(filename))), node.driver
    return "json:" + to_json(spec(node, None)), node.driver


def to_json(tree):
    import json
    return json.dumps(tree, separators=(",", ":"))


def spec(node, rng):
    """The blockdev form. With rng, some nodes are named, and what headers say is left to them."""
    if isinstance(node, File):
        tree = {"driver": "file", "filename": node.filename}
    else:
        tree = {"driver": node.driver}
    if rng and rng.randrange(100) < 40:
        node.name = f"n{rng.randrange(1 << 30)}"
        tree["node-name"] = node.name
    if isinstance(node, Raw):
        tree.update({"offset": node.offset} if node.offset is not None else {})
        tree.update({"size": node.given_size} if node.given_size is not None else {})
    left_out = header_roles(node, rng)
    for role, child in node.children.items():
        if role not in left_out:
            tree[role] = spec(child, rng)
    if isinstance(node, Qcow2) and node.names_wrong_backing and "backing" not in node.children:
        tree["backing"] = None
    return tree


def header_roles(node, rng):
    """The children that the spec leaves to the header."""
    if not isinstance(node, Qcow2):
        return ()
    roles = []
    if node.names_backing and (rng is None or rng.randrange(2)):
        roles.append("backing")
    if node.names_data_file and (rng is None or rng.randrange(2)):
        roles.append("data-file")
    return roles


def says_null(tree):
    return any(value is None or (isinstance(value, dict) and says_null(value))
               for value in tree.values())


def dotted(tree, prefix=""):
    """Nested members to "file.driver" keys."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(dotted(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def image_opts(tree, rng):
    words = []
    for key, value in dotted(tree).items():
        if isinstance(value, int) and value and value % 1024 == 0 and rng.randrange(2):
            value = f"{value // 1024}{rng.choice('kK')}"
        words.append(f"{key}=" + str(value).replace(",", ",,"))
    return ",".join(words)


def arguments(top, rng):
    """Command line words that name the graph, in one of the three forms; names some nodes."""
    if is_self_contained(top) and rng.randrange(2):
        probed = isinstance(top, Qcow2) and rng.randrange(2)
        return ([] if probed else ["--format", top.driver]) + [top.leaf().filename]
    tree = spec(top, rng)
    if not says_null(tree) and rng.randrange(2):
        return ["--image-opts", image_opts(tree, rng)]
    return ["json:" + to_json(dotted(tree) if rng.randrange(4) == 0 else tree)]
