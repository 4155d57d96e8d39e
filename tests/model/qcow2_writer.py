# SPDX-License-Identifier: LGPL-2.1-or-later
# qcow2_writer.py - writes qcow2 images byte by byte, every field under the test's control.
#
# Written from the format's specification (docs/interop/qcow2.rst of QEMU), and from nothing of
# strata's: what strata reads of these images is compared with what was asked for here.
#
# An image is described in units: clusters, or subclusters where L2 entries are extended. A unit is
# DATA (with its bytes), ZERO, or it is not mentioned and so unallocated; a whole cluster may be
# compressed instead. A snapshot is described in the same way. compose() turns the description into
# the bytes of the file, refcounts included, so that "qemu-img check" is content.
import collections
import dataclasses
import functools
import random
import struct

import compressors
import luks

MAGIC = b"QFI\xfb"
COPIED = 1 << 63
COMPRESSED = 1 << 62
ALL_ZEROS = 1 << 0

EXT_END = 0
EXT_BACKING_FORMAT = 0xE2792ACA
EXT_FEATURE_NAMES = 0x6803F857
EXT_BITMAPS = 0x23852875
EXT_ENCRYPTION = 0x0537BE77
EXT_DATA_FILE = 0x44415441

INCOMPATIBLE_DATA_FILE = 1 << 2
INCOMPATIBLE_COMPRESSION = 1 << 3
INCOMPATIBLE_EXTENDED_L2 = 1 << 4
AUTOCLEAR_BITMAPS = 1 << 0
AUTOCLEAR_RAW_DATA_FILE = 1 << 1

BITMAP_IN_USE, BITMAP_AUTO = 1 << 0, 1 << 1
DIRTY_TRACKING = 1

SECTOR = 512

FEATURE_NAMES = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 3, b"compression type"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
)

ZERO = "zero"


@dataclasses.dataclass
class Snapshot:
    """A disk as it was. size: in bytes; None writes none, which means the image's (version 2)."""

    id: str
    name: str
    size: int | None
    units: dict = dataclasses.field(default_factory=dict)
    compressed: dict = dataclasses.field(default_factory=dict)
    preallocated: set = dataclasses.field(default_factory=set)
    vm_state: bytes = b""
    icount: int | None = None
    unknown_extra: bytes = b""


@dataclasses.dataclass
class Bitmap:
    """dirty: numbers of bits that are set. sparse: no cluster for what is all zeros or all ones."""

    name: str
    granularity_bits: int
    dirty: set
    enabled: bool = True
    in_use: bool = False
    sparse: bool = True


@dataclasses.dataclass
class Image:
    """What to write. Sizes and offsets in bytes."""

    size: int
    version: int = 3
    cluster_bits: int = 16
    refcount_order: int = 4
    extended_l2: bool = False
    external_data: bool = False
    data_file_raw: bool = False
    data_file: str | None = None
    backing: str | None = None
    backing_format: str | None = None
    feature_names: tuple = ()
    unknown_extension: bytes | None = None
    crypt_method: int = 0  # without encryption: a lie
    encryption: luks.Encryption | None = None
    compression: int = compressors.DEFLATE
    compression_level: int = 1
    incompatible: int = 0  # bits in addition to those that the options above imply
    header_length: int = 104
    l1_extra: int = 0  # L1 entries beyond those that the size needs
    empty_l2: bool = False  # write L2 tables that hold nothing, too
    units: dict = dataclasses.field(default_factory=dict)  # index: bytes or ZERO
    compressed: dict = dataclasses.field(default_factory=dict)  # cluster: its bytes
    preallocated: set = dataclasses.field(default_factory=set)  # clusters with a host cluster
    snapshots: list = dataclasses.field(default_factory=list)
    bitmaps: list = dataclasses.field(default_factory=list)
    bitmaps_consistent: bool = True  # the autoclear bit
    sharing: bool = True  # snapshots share what they have in common
    ends_compressed: bool = False  # the file ends where the last compressed cluster does

    @property
    def cluster_size(self):
        return 1 << self.cluster_bits

    @property
    def units_per_cluster(self):
        return 32 if self.extended_l2 else 1

    @property
    def unit_size(self):
        return self.cluster_size // self.units_per_cluster

    @property
    def n_units(self):
        return -(-self.size // self.unit_size)

    @property
    def n_clusters(self):
        return -(-self.size // self.cluster_size)

    @property
    def l2_entry_size(self):
        return 16 if self.extended_l2 else 8

    @property
    def l2_entries(self):
        return self.cluster_size // self.l2_entry_size

    @property
    def refcount_bits(self):
        return 1 << (self.refcount_order if self.version > 2 else 4)

    def l1_entries(self, size):
        return -(-size // (self.cluster_size * self.l2_entries))


@dataclasses.dataclass
class Composed:
    """The file's bytes, and where things lie in it, for tests that damage them."""

    blob: bytearray
    hosts: dict  # cluster: host offset (in the data file where there is one); not of compressed
    l1_offset: int
    l1_size: int
    l2_offsets: dict  # L1 index: offset
    refcount_table_offset: int
    snapshot_hosts: list  # for each snapshot as hosts
    places: dict  # (kind, ...): offset, of everything else


def compress(image, data):
    """The compressed bytes, or None if they would take as much room as the cluster itself."""
    blob = _compress(image.compression, data, image.compression_level)
    return blob if len(blob) < image.cluster_size else None


@functools.lru_cache(512)
def _compress(kind, data, level):
    return compressors.compress(kind, data, level)


# -- the header

def _extension(kind, payload):
    padding = -len(payload) % 8
    return struct.pack(">II", kind, len(payload)) + payload + bytes(padding)


def _feature_table(rows):
    return b"".join(bytes((kind, bit)) + name.ljust(46, b"\0") for kind, bit, name in rows)


def _extensions(image, places):
    parts = []
    if image.backing_format is not None:
        parts.append(_extension(EXT_BACKING_FORMAT, image.backing_format.encode()))
    if image.unknown_extension is not None:
        parts.append(_extension(0x57A7A001, image.unknown_extension))
    if image.data_file is not None:
        parts.append(_extension(EXT_DATA_FILE, image.data_file.encode()))
    if image.encryption is not None and image.encryption.header:
        parts.append(_extension(EXT_ENCRYPTION, struct.pack(
            ">QQ", places.get("encryption", 0), len(image.encryption.header))))
    if image.bitmaps:
        parts.append(_extension(EXT_BITMAPS, struct.pack(
            ">IIQQ", len(image.bitmaps), 0, len(_bitmap_directory(image, {})),
            places.get("bitmaps", 0))))
    if image.feature_names:
        parts.append(_extension(EXT_FEATURE_NAMES, _feature_table(image.feature_names)))
    return b"".join(parts) + _extension(EXT_END, b"")


def _features(image):
    incompatible = image.incompatible
    incompatible |= INCOMPATIBLE_DATA_FILE if image.external_data else 0
    incompatible |= INCOMPATIBLE_COMPRESSION if image.compression else 0
    incompatible |= INCOMPATIBLE_EXTENDED_L2 if image.extended_l2 else 0
    autoclear = AUTOCLEAR_RAW_DATA_FILE if image.data_file_raw else 0
    autoclear |= AUTOCLEAR_BITMAPS if image.bitmaps and image.bitmaps_consistent else 0
    return incompatible, autoclear


def _header_fields(image, l1_size, table_clusters, places, name_offset, name):
    method = image.encryption.method if image.encryption else image.crypt_method
    head = MAGIC + struct.pack(
        ">IQIIQIIQQIIQ", image.version, name_offset, len(name), image.cluster_bits, image.size,
        method, l1_size, places.get("l1", 0), places.get("table", 0), table_clusters,
        len(image.snapshots), places.get("snapshots", 0))
    if image.version == 2:
        return head
    incompatible, autoclear = _features(image)
    head += struct.pack(">QQQII", incompatible, 0, autoclear, image.refcount_order,
                        image.header_length)
    if image.compression:
        head += bytes((image.compression,))
    return head.ljust(image.header_length, b"\0")


def header(image, l1_size=0, table_clusters=0, places=()):
    """The header with its extensions and the backing name behind them."""
    places = dict(places)
    extensions = _extensions(image, places)
    name = (image.backing or "").encode()
    length = 72 if image.version == 2 else image.header_length
    name_offset = length + len(extensions) if name else 0
    return _header_fields(image, l1_size, table_clusters, places, name_offset, name) + \
        extensions + name


def fits(image):
    """Whether the header with all its names fits into the first cluster."""
    return len(image.backing or "") <= 1023 and len(header(image)) <= image.cluster_size


# -- snapshots: "Snapshots" in the specification

def _snapshot_extra(image, snapshot):
    if snapshot.size is None:
        return b""
    extra = struct.pack(">QQ", len(snapshot.vm_state), snapshot.size)
    if snapshot.icount is not None or snapshot.unknown_extra:
        extra += struct.pack(">q", -1 if snapshot.icount is None else snapshot.icount)
    return extra + snapshot.unknown_extra


def _snapshot_table(image, disks, places):
    parts = []
    for disk in disks[1:]:
        snapshot, extra = disk.source, _snapshot_extra(image, disk.source)
        name, ident = snapshot.name.encode(), snapshot.id.encode()
        entry = struct.pack(">QIHHIIQII", places.get(("l1", disk.number), 0), disk.l1_size,
                            len(ident), len(name), 1700000000 + disk.number, 5, 60 * 10**9,
                            len(snapshot.vm_state), len(extra))
        entry += extra + ident + name
        parts.append(entry + bytes(-len(entry) % 8))
    return b"".join(parts)


# -- bitmaps: "Bitmaps" in the specification

def _bitmap_data(image, bitmap):
    """The bits, clusters whole."""
    n_bits = -(-image.size >> bitmap.granularity_bits)
    n_clusters = -(-n_bits // (8 * image.cluster_size))
    data = bytearray(n_clusters * image.cluster_size)
    for bit in bitmap.dirty:
        assert bit < n_bits
        data[bit // 8] |= 1 << bit % 8
    return [bytes(data[at:at + image.cluster_size])
            for at in range(0, len(data), image.cluster_size)]


def _bitmap_shorthand(image, bitmap, index):
    """The table entry that says all of a cluster: 0, 1, or None if it takes the cluster itself.
    What lies behind the last bit of the disk does not count."""
    per_cluster = 8 * image.cluster_size
    n_bits = -(-image.size >> bitmap.granularity_bits)
    bits = range(index * per_cluster, min(n_bits, (index + 1) * per_cluster))
    n_dirty = len(bitmap.dirty.intersection(bits))
    if not bitmap.sparse or 0 < n_dirty < len(bits):
        return None
    return int(n_dirty > 0)


def _bitmap_objects(image):
    objects = [("bitmaps", _in_clusters(image, len(_bitmap_directory(image, {}))))]
    for number, bitmap in enumerate(image.bitmaps):
        chunks = _bitmap_data(image, bitmap)
        if chunks:
            objects.append((("bitmap table", number), _in_clusters(image, 8 * len(chunks))))
        objects += [(("bitmap data", number, index), 1) for index in range(len(chunks))
                    if _bitmap_shorthand(image, bitmap, index) is None]
    return objects


def _bitmap_directory(image, places):
    parts = []
    for number, bitmap in enumerate(image.bitmaps):
        flags = (BITMAP_IN_USE if bitmap.in_use else 0) | (BITMAP_AUTO if bitmap.enabled else 0)
        name = bitmap.name.encode()
        entry = struct.pack(">QIIBBHI", places.get(("bitmap table", number), 0),
                            len(_bitmap_data(image, bitmap)), flags, DIRTY_TRACKING,
                            bitmap.granularity_bits, len(name), 0) + name
        parts.append(entry + bytes(-len(entry) % 8))
    return b"".join(parts)


def _put_bitmaps(image, blob, places):
    _put(blob, places["bitmaps"], _bitmap_directory(image, places))
    for number, bitmap in enumerate(image.bitmaps):
        for index, chunk in enumerate(_bitmap_data(image, bitmap)):
            entry = _bitmap_shorthand(image, bitmap, index)
            if entry is None:
                entry = places["bitmap data", number, index]
                _put(blob, entry, chunk)
            struct.pack_into(">Q", blob, places["bitmap table", number] + 8 * index, entry)


# -- clusters

def _in_clusters(image, length):
    return -(-length // image.cluster_size)


class _Disk:
    """The disk of today (number 0) or a snapshot: its clusters and tables by key.

    Whatever has the same key is the same thing in the file."""

    def __init__(self, image, source, number):
        self.image, self.source, self.number = image, source, number
        size = image.size if source.size is None else source.size
        self.units = dict(source.units)
        self.shares = image.sharing and image.snapshots
        l1_entries = image.l1_entries(size)
        self._add_vm_state(getattr(source, "vm_state", b""), l1_entries * image.l2_entries)
        clusters = {unit // image.units_per_cluster for unit in self.units}
        clusters |= set(source.compressed) | source.preallocated
        self.clusters = sorted(clusters)
        last = max(clusters, default=-1) // image.l2_entries + 1
        self.l1_size = max(1, l1_entries, last) + (image.l1_extra if number == 0 else 0)
        self.cluster_keys = {cluster: self._cluster_key(cluster) for cluster in self.clusters}
        self.l2_keys = self._l2_keys(-(-size // image.cluster_size))

    def _add_vm_state(self, state, cluster):
        first, size = cluster * self.image.units_per_cluster, self.image.unit_size
        for at in range(0, len(state), size):
            self.units[first + at // size] = state[at:at + size]

    def whats(self, cluster):
        first = cluster * self.image.units_per_cluster
        return tuple(self.units.get(first + i) for i in range(self.image.units_per_cluster))

    def has_host(self, cluster):
        return cluster in self.source.preallocated or \
            any(what is not None and what != ZERO for what in self.whats(cluster))

    def _cluster_key(self, cluster):
        if not self.shares:
            return self.number, cluster
        return (cluster, self.whats(cluster), self.source.compressed.get(cluster),
                cluster in self.source.preallocated)

    def _l2_keys(self, n_clusters):
        per_table = self.image.l2_entries
        tables = {cluster // per_table for cluster in self.clusters}
        if self.image.empty_l2 and self.number == 0:
            tables = set(range(-(-n_clusters // per_table)))
        keys = {}
        for index in sorted(tables):
            own = tuple(self.cluster_keys[c] for c in self.clusters if c // per_table == index)
            keys[index] = ("l2", index, own if self.shares else self.number)
        return keys


def _refcount_clusters(image, other_clusters):
    """How many clusters refcount blocks and refcount table take, counting themselves."""
    per_block = image.cluster_size * 8 // image.refcount_bits
    blocks = table = 1
    while True:
        need_blocks = -(-(other_clusters + blocks + table) // per_block)
        need_table = -(-need_blocks * 8 // image.cluster_size)
        if (need_blocks, need_table) == (blocks, table):
            return blocks, table
        blocks, table = need_blocks, need_table


def _place(image, rng, objects, last):
    """objects: (key, clusters). Host offsets in an order that the random numbers choose, but for
    the one with the key @last."""
    rng.shuffle(objects)
    objects.sort(key=lambda entry: entry[0] == last)
    places, next_cluster = {}, 1
    for key, clusters in objects:
        places[key] = next_cluster * image.cluster_size
        next_cluster += clusters
    return places, next_cluster


def _put(blob, at, data):
    blob[at:at + len(data)] = data


def _put_refcounts(image, blob, counts, block_offsets, table_offset):
    bits = image.refcount_bits
    per_block = image.cluster_size * 8 // bits
    for index, offset in enumerate(block_offsets):
        struct.pack_into(">Q", blob, table_offset + 8 * index, offset)
        here = counts[index * per_block:(index + 1) * per_block]
        if bits < 8:
            packed = bytearray(-(-len(here) * bits // 8))
            for i, count in enumerate(here):
                packed[i * bits // 8] |= count << i * bits % 8
        else:
            packed = b"".join(count.to_bytes(bits // 8, "big") for count in here)
        _put(blob, offset, packed)


class _Pool:
    """The compressed clusters, packed as QEMU packs them: at any byte, across host clusters."""

    def __init__(self, image, rng, blobs):
        """blobs: key: (bytes, by how many disks it is used)."""
        self.image, self.length, self.at, self.counts = image, 0, {}, collections.Counter()
        self.data = {key: blob for key, (blob, _) in blobs.items()}
        keys = list(blobs)
        rng.shuffle(keys)
        for key in keys:
            blob, uses = blobs[key]
            start = self.length + rng.choice((0, 0, 0, 1, 100, SECTOR, image.cluster_size // 2))
            while not self._has_room(start, len(blob), uses):
                start = (start // image.cluster_size + 1) * image.cluster_size
            self.at[key] = start
            self.counts.update({cluster: uses for cluster in self._touched(start, len(blob))})
            self.length = start + len(blob)

    def _touched(self, start, length):
        """Host clusters that the sectors of the descriptor lie in: each has a reference."""
        first = start // SECTOR * SECTOR
        end = -(-(start + length) // SECTOR) * SECTOR
        return range(first // self.image.cluster_size, -(-end // self.image.cluster_size))

    def _has_room(self, start, length, uses):
        most = (1 << self.image.refcount_bits) - 1
        return all(self.counts[cluster] + uses <= most
                   for cluster in self._touched(start, length))

    def entry(self, key, base):
        """The "Compressed Clusters Descriptor"."""
        start, length = base + self.at[key], len(self.data[key])
        sectors = (start + length - 1) // SECTOR - start // SECTOR
        return COMPRESSED | sectors << (62 - (self.image.cluster_bits - 8)) | start


class _Composer:
    def __init__(self, image, rng):
        self.image, self.rng = image, rng
        self.disks = [_Disk(image, source, number)
                      for number, source in enumerate([image] + image.snapshots)]
        self.uses = collections.Counter()  # key: by how many disks, or tables, it is used
        for disk in self.disks:
            self.uses.update(disk.l2_keys.values())
            self.uses.update(disk.cluster_keys.values())
        most = (1 << image.refcount_bits) - 1
        assert max(self.uses.values(), default=0) <= most, "refcounts too narrow to share so much"
        self.pool = _Pool(image, rng, self._compressed_blobs())
        self.places, self.total, self.table_clusters = {}, 0, 0

    def _compressed_blobs(self):
        blobs = {}
        for disk in self.disks:
            for cluster, data in disk.source.compressed.items():
                assert not any(what is not None for what in disk.whats(cluster))
                blob = compress(self.image, data)
                assert blob is not None, "cannot be compressed"
                key = disk.cluster_keys[cluster]
                blobs[key] = (blob, self.uses[key])
        return blobs

    def _objects(self):
        image, size = self.image, self.image.cluster_size
        objects = {("l1", disk.number) if disk.number else "l1": -(-disk.l1_size * 8 // size)
                   for disk in self.disks}
        for disk in self.disks:
            objects.update({key: 1 for key in disk.l2_keys.values()})
            if not image.external_data:
                objects.update({("host", disk.cluster_keys[c]): 1 for c in disk.clusters
                                if disk.has_host(c)})
        if self.pool.length:
            objects["pool"] = _in_clusters(image, self.pool.length)
        if image.snapshots:
            objects["snapshots"] = _in_clusters(image,
                                                len(_snapshot_table(image, self.disks, {})))
        if image.encryption is not None and image.encryption.header:
            objects["encryption"] = _in_clusters(image, len(image.encryption.header))
        return list(objects.items()) + (_bitmap_objects(image) if image.bitmaps else [])

    def compose(self):
        image, objects = self.image, self._objects()
        blocks, self.table_clusters = _refcount_clusters(image, 1 + sum(n for _, n in objects))
        objects += [("table", self.table_clusters)]
        objects += [(("block", index), 1) for index in range(blocks)]
        at_end = "pool" if image.ends_compressed else None
        self.places, self.total = _place(image, self.rng, objects, at_end)
        blob = bytearray(self.total * image.cluster_size)
        self._put_metadata(blob, blocks)
        for disk in self.disks:
            self._put_disk(blob, disk)
        for key, at in self.pool.at.items():
            _put(blob, self.places["pool"] + at, self.pool.data[key])
        if image.ends_compressed and self.pool.length:
            del blob[self.places["pool"] + self.pool.length:]
        return blob

    def _put_metadata(self, blob, blocks):
        image, places = self.image, self.places
        head = header(image, self.disks[0].l1_size, self.table_clusters, places)
        assert len(head) <= image.cluster_size, "the header does not fit into the first cluster"
        _put(blob, 0, head)
        _put_refcounts(image, blob, self._refcounts(),
                       [places["block", i] for i in range(blocks)], places["table"])
        if image.snapshots:
            _put(blob, places["snapshots"], _snapshot_table(image, self.disks, places))
        if image.bitmaps:
            _put_bitmaps(image, blob, places)
        if "encryption" in places:
            _put(blob, places["encryption"], image.encryption.header)

    def _refcounts(self):
        size, counts = self.image.cluster_size, [1] * self.total
        for key, uses in self.uses.items():
            place = self.places.get(key, self.places.get(("host", key)))
            if place is not None:
                counts[place // size] = uses
        for cluster in range(_in_clusters(self.image, self.pool.length)):
            counts[self.places["pool"] // size + cluster] = self.pool.counts[cluster]
        return counts

    def _put_disk(self, blob, disk):
        image, places = self.image, self.places
        l1 = places[("l1", disk.number) if disk.number else "l1"]
        for index, key in disk.l2_keys.items():
            copied = COPIED if self.uses[key] == 1 else 0
            struct.pack_into(">Q", blob, l1 + 8 * index, places[key] | copied)
        for cluster in disk.clusters:
            index, slot = divmod(cluster, image.l2_entries)
            at = places[disk.l2_keys[index]] + slot * image.l2_entry_size
            _put(blob, at, self._l2_entry(disk, cluster))
            if disk.has_host(cluster) and not image.external_data:
                self._put_data(blob, disk, cluster)

    def host(self, disk, cluster):
        if self.image.external_data:
            return cluster * self.image.cluster_size
        return self.places["host", disk.cluster_keys[cluster]]

    def _l2_entry(self, disk, cluster):
        image, whats = self.image, disk.whats(cluster)
        key, entry = disk.cluster_keys[cluster], 0
        if cluster in disk.source.compressed:
            return struct.pack(">QQ", self.pool.entry(key, self.places["pool"]),
                               0)[:image.l2_entry_size]
        if disk.has_host(cluster):
            shared = self.uses[key] > 1 and not image.external_data
            entry = self.host(disk, cluster) | (0 if shared else COPIED)
        if not image.extended_l2:
            return struct.pack(">Q", entry | (ALL_ZEROS if whats[0] == ZERO else 0))
        bitmap = 0
        for i, what in enumerate(whats):
            if what == ZERO:
                bitmap |= 1 << (32 + i)
            elif what is not None:
                bitmap |= 1 << i
        return struct.pack(">QQ", entry, bitmap)

    def _put_data(self, blob, disk, cluster):
        """The host cluster: the units with data, and rubbish where nobody may look."""
        image, host = self.image, self.host(disk, cluster)
        rubbish = random.Random(host)
        content = bytearray(rubbish.randbytes(image.cluster_size))
        for i, what in enumerate(disk.whats(cluster)):
            if what is not None and what != ZERO:
                at = i * image.unit_size
                _put(content, at, what)
                if image.encryption:
                    guest = cluster * image.cluster_size + at
                    unit = bytes(content[at:at + image.unit_size])
                    _put(content, at, image.encryption.encrypt(unit, host + at, guest))
        _put(blob, host, content)

    def hosts(self, disk):
        return {cluster: self.host(disk, cluster) for cluster in disk.clusters
                if disk.has_host(cluster)}


def compose(image, rng=None):
    """Writes the image; with the same random numbers always the same bytes."""
    composer = _Composer(image, rng or random.Random(0))
    blob, places = composer.compose(), composer.places
    today, *snapshots = composer.disks
    return Composed(blob, composer.hosts(today), places["l1"], today.l1_size,
                    {index: places[key] for index, key in today.l2_keys.items()},
                    places["table"], [composer.hosts(disk) for disk in snapshots], places)


def l2_entry_offset(image, composed, cluster):
    """Where the L2 entry of a guest cluster stands in the file."""
    index, slot = divmod(cluster, image.l2_entries)
    return composed.l2_offsets[index] + slot * image.l2_entry_size
