# SPDX-License-Identifier: LGPL-2.1-or-later
# graphs.py - random image graphs on disk, with the model of each.
#
# It builds from the top down: given the bytes that a node must show, it chooses a driver, decides
# who below supplies which part, fills what nobody may see with rubbish, and builds the children
# in the same way. An image file is nothing but bytes that a storage child must show, so that
# images in images, windows below images, and data files that are images come about by themselves.
import collections
import itertools
import os

import compressors
import luks
import model
import qcow2_writer
from functions import block_status, connect
from model import COMPRESSED, ENCRYPTED, File, Luks, Nbd, Qcow2, Raw
from spec_text import arguments, header_name, needs_user, qemu_argument

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


# Secrets by their IDs. QEMU takes the bytes of a file as they are, the end of the line too.
PASSWORDS = {"key0": b"open sesame", "key1": b"two words\n"}

NAMES = ("s", "1", "2", "before the update", "\u00fcber:all@once", "s", "3")
BITMAP_NAMES = ("b0", "daily", "weekly, or so", "f\u00fcr:alle", "x" * 200)

# All that a description of a disk in units has (qcow2_writer.Image, Snapshot).
Drawn = collections.namedtuple("Drawn", "size units compressed preallocated")


class Builder:
    """Makes nodes.

    plain: only what QEMU itself resolves right: qcow2 over qcow2 over a base
    work: a Workspace, where servers are started for leaves that are remote; None for none"""

    def __init__(self, rng, folder, plain=False, work=None, files=None):
        self.rng, self.folder, self.plain, self.work = rng, folder, plain, work
        self.files = files or itertools.count(1)

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
        if self.plain or self.work:
            return 512 * self.rng.choice((1, 7, 2048, 2049, 9000, self.rng.randint(1, 16000)))
        return self.rng.choice((1, 511, 65536, 1 << 20, (1 << 20) + 1, 3 << 20,
                                self.rng.randint(1, 1 << 14), self.rng.randint(1, 1 << 22),
                                512 * self.rng.randint(1, 6000), 512 * self.rng.randint(1, 6000)))

    # -- nodes

    def filename(self, extension):
        odd = ", =" if not self.plain and self.chance(5) else ""
        return f"{self.folder}/f{next(self.files)}{odd}.{extension}"

    def node(self, content, place, budget):
        """place: top, backing or storage."""
        if self.plain:
            return self.plain_node(content, place, budget)
        drivers = {"top": {"qcow2": 64, "raw": 29, "file": 3, "luks": 4},
                   "backing": {"qcow2": 53, "raw": 39, "file": 4, "luks": 4},
                   "storage": {"qcow2": 16, "raw": 20, "file": 62, "luks": 2}}[place]
        if self.work:
            drivers["nbd"] = 20 if place == "backing" else 8
        if budget <= 0:
            drivers = {"file": 1} if place == "storage" else {"raw": 1}
        driver = self.rng.choices(list(drivers), drivers.values())[0]
        if driver == "qcow2":
            return self.qcow2(content, budget)
        if driver == "luks" and len(content) % 512 == 0:
            return self.luks(content, budget)
        if driver == "nbd":
            return self.nbd(content, budget)
        return self.file(content, "raw") if driver == "file" else self.raw(content, budget)

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
        if budget > 0 and self.chance(60):
            child = self.qcow2(inner, budget - 1)
        elif budget > 0 and self.work and self.chance(30):
            child = self.nbd(inner, budget - 1)
        elif budget > 0 and self.chance(30):
            child = self.raw(inner, budget - 1)
        else:
            child = self.file(inner, "raw")
        return Raw(child, offset, size)

    def luks(self, content, budget):
        encryption, key = self.encryption()
        inner = encryption.header + encryption.sectors.encrypt(bytes(content), 0)
        node = Luks(bytes(content), self.node(inner, "storage", budget - 1))
        node.key = key
        return node

    def encryption(self):
        key = self.rng.choice(list(PASSWORDS))
        form = self.rng.randrange(len(luks.FORMS))
        return luks.luks(PASSWORDS[key], form, self.rng.choice((0, 0, 7))), key

    # -- nbd

    def nbd(self, content, budget):
        """A leaf whose content another server has: one of strata's, QEMU's or nbdkit's."""
        kind = self.rng.choice(("strata", "strata", "qemu", "qemu", "nbdkit"))
        if kind == "qemu" and len(content) % 512 == 0:
            return self.nbd_to_qemu(content, budget)
        if kind == "nbdkit":
            return self.nbd_to_nbdkit(content)
        return self.nbd_to_strata(content, budget)

    def nbd_to_qemu(self, content, budget):
        builder = Builder(self.rng, self.folder, True, None, self.files)
        remote = builder.plain_node(content, self.rng.choice(("top", "backing")), budget - 1)
        tells = self.rng.choice(("zeros", "depth"))
        words = ["--allocation-depth"] * (tells == "depth") + objects(remote, self.folder)
        words += [qemu_argument(remote)] if needs_user(remote) else \
            ["--format=" + remote.driver, remote.leaf().filename]
        bitmaps = model.whole_bitmaps(remote)[:1]
        socket = self.work.socket()
        self.work.start_with_pid_file(
            socket + ".pid", "qemu-nbd", f"--socket={socket}", f"--pid-file={socket}.pid",
            "--persistent", "--shared=0", "--read-only", *words,
            *(f"--bitmap={name}" for name in bitmaps))
        node = Nbd(remote, tells, socket, zeros=told_zeros(socket))
        node.bitmaps = [model.RemoteBitmap(name, remote) for name in bitmaps]
        return node

    def nbd_to_nbdkit(self, content):
        remote, socket = self.file(content, "raw"), self.work.socket()
        self.work.start_with_pid_file(
            socket + ".pid", "nbdkit", "--foreground", "--readonly", "--unix", socket, "--pidfile",
            socket + ".pid", "file", "file=" + remote.filename)
        return Nbd(remote, "zeros", socket, zeros=told_zeros(socket))

    def nbd_to_strata(self, content, budget):
        remote = self.node(content, "top", budget - 1)
        served, snapshot = self.serve_more_than(remote)
        words = arguments(served, self.rng)
        model.name_nodes(served)
        remote.name = (remote.today if snapshot else remote).name
        socket = self.work.serve(*lent(served, self.folder), *words)
        export = "" if served is remote else f"@{remote.name}" + snapshot
        node = Nbd(remote, "layers", socket, export, layers=model.layers(remote))
        node.bitmaps = [model.RemoteBitmap(name, remote)
                        for name in model.offered_bitmaps(remote)]
        return node

    def serve_more_than(self, remote):
        """A graph of which the remote node is a part, and how the snapshot that it is at stands in
        the name of an export."""
        if isinstance(remote, Qcow2) and remote.opened_snapshot and self.chance(50):
            return remote.today, ":" + remote.snapshot_word
        if not isinstance(remote, File) and self.chance(30):
            return Raw(remote), ""
        return remote, ""

    # -- qcow2

    def qcow2(self, content, budget):
        image = self.qcow2_form(len(content))
        backing_size = self.backing_size(len(content)) \
            if budget > 0 and not image.data_file_raw and self.chance(85 if self.plain else 65) \
            else None
        self.choose_units(image, content, backing_size)
        self.preallocate(image)
        if not image.external_data:
            self.compress_some(image, image, content)
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
        image.ends_compressed = self.chance(40)
        image.compression_level = self.rng.choice((1, 6, 9))
        image.compressed_percent = self.rng.choice((0, 0, 0, 30, 70))
        image.key = None
        if self.chance(12):
            image.encryption, image.key = self.encryption()
            if self.chance(20):
                image.encryption = luks.aes(PASSWORDS[image.key])
        if image.version == 2:
            return image
        image.refcount_order = self.rng.randrange(7)
        image.header_length = self.rng.choice((104, 112, 112))
        image.extended_l2 = image.cluster_bits >= 14 and self.chance(40)
        image.external_data = self.chance(15)
        image.data_file_raw = image.external_data and not image.encryption and self.chance(40)
        if image.compressed_percent and not image.external_data and self.chance(40):
            image.compression, image.header_length = compressors.ZSTD, 112
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

    def compress_some(self, image, disk, content):
        """Makes clusters compressed ones, of zeros too: nobody knows that they are."""
        for cluster in range(-(-len(content) // image.cluster_size)):
            first = cluster * image.units_per_cluster
            units = range(first, first + image.units_per_cluster)
            if not self.chance(image.compressed_percent) or \
                    not any(unit in disk.units for unit in units):
                continue
            start = cluster * image.cluster_size
            whole = content[start:start + image.cluster_size].ljust(image.cluster_size, b"\x77")
            if qcow2_writer.compress(image, bytes(whole)) is None:
                continue
            for unit in units:
                disk.units.pop(unit, None)
            disk.preallocated.discard(cluster)
            disk.compressed[cluster] = bytes(whole)

    def external_data(self, image, content):
        """What the data file holds: the data where the guest has it, rubbish elsewhere."""
        if image.data_file_raw:
            return content
        length = len(content) + self.rng.choice((0, 0, 512, 66048))
        if image.encryption:  # it is sectors that are encrypted
            length += -length % 512
        blob = bytearray(self.bytes(length))
        for unit, what in image.units.items():
            if what != qcow2_writer.ZERO:
                start = unit * image.unit_size
                if image.encryption:
                    padded = bytes(what) + self.rng.randbytes(-len(what) % 512)
                    what = image.encryption.encrypt(padded, start, start)
                blob[start:start + len(what)] = what
        return bytes(blob)

    def below(self, image, content, backing_size):
        """What the backing node must show: the truth where we defer to it, rubbish elsewhere."""
        if self.chance(50):
            blob = bytearray(self.bytes(backing_size))
        else:
            blob = bytearray(content[:backing_size].ljust(backing_size, b"\x5a"))
        for unit in range(image.n_units):
            if unit not in image.units and \
                    unit // image.units_per_cluster not in image.compressed:
                start = unit * image.unit_size
                end = min(start + image.unit_size, len(content), backing_size)
                if start < end:
                    blob[start:end] = content[start:end]
        return bytes(blob)

    def write_qcow2(self, image, backing, data_file, budget):
        direct = self.plain or self.chance(75)
        swapped = not image.external_data and self.draw_snapshots(image)
        if image.version > 2 and self.chance(50):
            self.draw_bitmaps(image)
        lies, named_backing, named_data_file = False, None, False
        if direct or not self.work:  # behind a server there are no folders
            lies, named_backing = self.name_backing(image, backing)
            named_data_file = self.name_data_file(image, data_file)
        for option, value in (("feature_names", qcow2_writer.FEATURE_NAMES),
                              ("unknown_extension", self.rng.randbytes(13))):
            if self.chance(50):
                empty = getattr(image, option)
                setattr(image, option, value)
                if not qcow2_writer.fits(image):
                    setattr(image, option, empty)
        composed = qcow2_writer.compose(image, self.rng)
        if direct:
            file = self.file(composed.blob, "qcow2")
        else:
            file = self.node(bytes(composed.blob), "storage", budget - 1)
        node = Qcow2(model_disk(image, image, composed.hosts), image.unit_size,
                     image.units_per_cluster, file, data_file, backing)
        node.names_backing, node.names_wrong_backing = named_backing, lies
        node.names_data_file = named_data_file
        self.describe_secret(node, image)
        describe_extras(node, image, composed)
        return self.open_snapshot(node, swapped) if swapped else node

    def describe_secret(self, node, image):
        node.key = image.key if image.encryption else None
        if node.key:
            node.encryption_format = "aes" if image.encryption.method == luks.METHOD_AES else "luks"

    # -- snapshots and bitmaps

    def draw_snapshots(self, image):
        """Adds some. Returns the one that has to be opened for the node to show what it must: what
        was to be the disk of today is that snapshot then, and something else is the disk."""
        most = (1 << image.refcount_bits) - 1
        image.sharing = self.chance(80)
        n = min(self.rng.choice((0, 0, 0, 1, 2, 3)), most - 1 if image.sharing else 3)
        others = [self.draw_disk(image) for _ in range(n)]
        swapped = None
        if others and not self.plain and self.chance(40):
            swapped = Drawn(image.size, image.units, image.compressed, image.preallocated)
            image.size, image.units, image.compressed, image.preallocated = others.pop()
            others.append(swapped)
        self.rng.shuffle(others)
        for number, drawn in enumerate(others):
            image.snapshots.append(self.snapshot(image, number, drawn))
        return image.snapshots[others.index(swapped)] if swapped else None

    def snapshot(self, image, number, drawn):
        snapshot = qcow2_writer.Snapshot(str(number + 1), self.rng.choice(NAMES), *drawn)
        if self.chance(30):
            snapshot.vm_state = self.rng.randbytes(self.rng.choice((1, 5000, 70000)))
        snapshot.icount = self.rng.choice((None, None, 7))
        snapshot.unknown_extra = self.rng.choice((b"", b"", b"later"))
        if image.version == 2 and snapshot.size == image.size and self.chance(50):
            snapshot.size = None
        return snapshot

    def draw_disk(self, image):
        """Another disk of the same image, which has some clusters in common with it."""
        size = self.rng.choice((image.size, image.size, image.size,
                                512 * self.rng.randint(1, 2 * image.size // 512 + 1)))
        drawn = Drawn(size, {}, {}, set())
        common = min(size, image.size) // image.cluster_size
        cluster = 0
        while cluster * image.cluster_size < size:
            wish = self.rng.choice(("common", "common", "data", "zero", "defer"))
            for cluster in range(cluster, cluster + self.rng.choice((1, 1, 3, 40))):
                if wish == "common" and cluster < common:
                    copy_cluster(image, drawn, cluster)
                elif cluster * image.cluster_size < size:
                    self.draw_cluster(image, drawn, cluster, wish)
            cluster += 1
        return drawn

    def draw_cluster(self, image, drawn, cluster, wish):
        first = cluster * image.units_per_cluster
        if wish == "data" and self.chance(image.compressed_percent):
            drawn.compressed[cluster] = bytes((cluster % 255,)) * image.cluster_size
            if qcow2_writer.compress(image, drawn.compressed[cluster]) is not None:
                return
            del drawn.compressed[cluster]
        for unit in range(first, first + image.units_per_cluster):
            if wish == "data" or (wish == "common" and self.chance(50)):
                drawn.units[unit] = self.rng.randbytes(image.unit_size)
            elif wish == "zero" and image.version > 2:
                drawn.units[unit] = qcow2_writer.ZERO

    def open_snapshot(self, node, written):
        """node: as it is today. Its user opens it at a snapshot, called by ID or by name."""
        snapshot = next(s for s in node.snapshots if s.id == written.id)
        node = node.at(snapshot)
        node.snapshot_word = self.rng.choice(words_for(node.snapshots, snapshot))
        return node

    def draw_bitmaps(self, image):
        for name in self.rng.sample(BITMAP_NAMES, self.rng.randint(1, 3)):
            bits = self.rng.choice((9, 9, 12, 16, 16, 20, 31))
            bitmap = qcow2_writer.Bitmap(name, bits, self.draw_dirty(-(-image.size >> bits)))
            bitmap.enabled, bitmap.in_use = self.chance(50), self.chance(15)
            bitmap.sparse = self.chance(70)
            image.bitmaps.append(bitmap)
            if not qcow2_writer.fits(image):
                image.bitmaps.pop()
        image.bitmaps_consistent = self.chance(90)

    def draw_dirty(self, n_bits):
        dirty, bit = set(), 0
        if self.chance(15):
            return set(range(n_bits))
        while bit < n_bits:
            length = self.rng.choice((1, 2, 8, 100, 5000))
            if self.chance(50):
                dirty.update(range(bit, min(n_bits, bit + length)))
            bit += length
        return dirty

    # -- names in headers

    def name_backing(self, image, backing):
        """Puts the backing file into the header, or a lie, or nothing. Returns whether it is a lie,
        and how much of the backing node the name says."""
        if not self.plain and not image.data_file_raw and self.chance(8):
            image.backing, image.backing_format = "no-such-file", "qcow2"
            if qcow2_writer.fits(image):
                return True, None
            image.backing = image.backing_format = None
        if backing is None or not (self.plain or self.chance(70)):
            return False, None
        image.backing, image.backing_format, how = header_name(backing, self.rng)
        if image.backing is not None and qcow2_writer.fits(image):
            return False, how
        assert not self.plain, "a plain chain's names must fit"
        image.backing = image.backing_format = None
        return False, None

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


# -- from what was written to the model

def copy_cluster(image, drawn, cluster):
    """What a snapshot has in common with the disk of today."""
    first = cluster * image.units_per_cluster
    for unit in range(first, first + image.units_per_cluster):
        if unit in image.units:
            drawn.units[unit] = image.units[unit]
    if cluster in image.compressed:
        drawn.compressed[cluster] = image.compressed[cluster]
    if cluster in image.preallocated:
        drawn.preallocated.add(cluster)


def model_disk(image, disk, hosts):
    kinds, decoded = {}, {}
    for unit, what in disk.units.items():
        if what == qcow2_writer.ZERO:
            kinds[unit] = Qcow2.ZERO
        elif image.encryption:
            kinds[unit], decoded[unit] = ENCRYPTED, bytes(what)
        else:
            kinds[unit] = Qcow2.DATA
    for cluster, data in disk.compressed.items():
        for i in range(image.units_per_cluster):
            unit = cluster * image.units_per_cluster + i
            kinds[unit] = COMPRESSED
            decoded[unit] = data[i * image.unit_size:(i + 1) * image.unit_size]
    size = image.size if disk.size is None else disk.size
    return model.Disk(size, kinds, hosts, decoded)


def describe_extras(node, image, composed):
    """Snapshots and bitmaps, as the model wants them."""
    for snapshot, hosts in zip(image.snapshots, composed.snapshot_hosts):
        node.snapshots.append(model.Snapshot(snapshot.id, snapshot.name,
                                             model_disk(image, snapshot, hosts)))
    node.bitmaps_lost = bool(image.bitmaps) and not image.bitmaps_consistent
    if node.bitmaps_lost:
        return
    for bitmap in image.bitmaps:
        node.bitmaps.append(model.Bitmap(bitmap.name, 1 << bitmap.granularity_bits, bitmap.dirty,
                                         not bitmap.in_use))


def words_for(snapshots, snapshot):
    """What a user may call a snapshot: an ID goes before a name, the first before the next."""
    words = [snapshot.id]
    if snapshot.name and snapshot.name not in [other.id for other in snapshots] and \
            next(other for other in snapshots if other.name == snapshot.name) is snapshot:
        words.append(snapshot.name)
    return words


def lent(top, folder):
    """Command line words for strata that lend what a graph needs and names from headers must not
    reach by themselves: secrets and, where images lie behind servers, a folder of this machine."""
    words = objects(top, folder)
    if any(isinstance(node, Nbd) for node in top.preorder()):
        words += ["--allow", folder]
    return words


def objects(top, folder):
    """The secrets of a graph, in words for QEMU and strata."""
    words = []
    for key in sorted({node.key for node in top.preorder()
                       if isinstance(node, (Luks, Qcow2)) and node.key}):
        filename = f"{folder}/{key}"
        with open(filename, "wb") as file:
            file.write(PASSWORDS[key])
        words += ["--object", f"secret,id={key},file={filename}"]
    return words


def told_zeros(socket):
    """What a server says of zeros: (offset, length, is zero) extents."""
    handle, extents, offset = connect(socket, ["base:allocation"]), [], 0
    while offset < handle.get_size():
        answer = block_status(handle, handle.get_size() - offset, offset)["base:allocation"]
        extents += [(at, length, bool(value & 2)) for at, length, value in answer]
        offset = extents[-1][0] + extents[-1][1]
    return extents
