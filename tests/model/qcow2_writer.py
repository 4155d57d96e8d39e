# SPDX-License-Identifier: LGPL-2.1-or-later
# qcow2_writer.py - writes qcow2 images byte by byte, every field under the test's control.
#
# Written from the format's specification (docs/interop/qcow2.rst of QEMU), and from nothing of
# strata's: what strata reads of these images is compared with what was asked for here.
#
# An image is described in units: clusters, or subclusters where L2 entries are extended. A unit is
# DATA (with its bytes), ZERO, or it is not mentioned and so unallocated. compose() turns the
# description into the bytes of the file, refcounts included, so that "qemu-img check" is content.
import dataclasses
import random
import struct

MAGIC = b"QFI\xfb"
COPIED = 1 << 63
COMPRESSED = 1 << 62
ALL_ZEROS = 1 << 0

EXT_END = 0
EXT_BACKING_FORMAT = 0xE2792ACA
EXT_FEATURE_NAMES = 0x6803F857
EXT_DATA_FILE = 0x44415441

INCOMPATIBLE_DATA_FILE = 1 << 2
INCOMPATIBLE_EXTENDED_L2 = 1 << 4
AUTOCLEAR_RAW_DATA_FILE = 1 << 1

FEATURE_NAMES = (
    (0, 0, b"dirty bit"),
    (0, 1, b"corrupt bit"),
    (0, 2, b"external data file"),
    (0, 4, b"extended L2 entries"),
    (1, 0, b"lazy refcounts"),
)

ZERO = "zero"


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
    crypt_method: int = 0
    incompatible: int = 0  # bits in addition to those that the options above imply
    header_length: int = 104
    l1_extra: int = 0  # L1 entries beyond those that the size needs
    empty_l2: bool = False  # write L2 tables that hold nothing, too
    units: dict = dataclasses.field(default_factory=dict)  # index: bytes or ZERO
    preallocated: set = dataclasses.field(default_factory=set)  # clusters with a host cluster

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


@dataclasses.dataclass
class Composed:
    """The file's bytes, and where things lie in it, for tests that damage them."""

    blob: bytearray
    hosts: dict  # cluster: host offset (in the data file where there is one)
    l1_offset: int
    l1_size: int
    l2_offsets: dict  # L1 index: offset
    refcount_table_offset: int


def _extension(kind, payload):
    padding = -len(payload) % 8
    return struct.pack(">II", kind, len(payload)) + payload + bytes(padding)


def _feature_table(rows):
    return b"".join(bytes((kind, bit)) + name.ljust(46, b"\0") for kind, bit, name in rows)


def _extensions(image):
    parts = []
    if image.backing_format is not None:
        parts.append(_extension(EXT_BACKING_FORMAT, image.backing_format.encode()))
    if image.unknown_extension is not None:
        parts.append(_extension(0x57A7A001, image.unknown_extension))
    if image.data_file is not None:
        parts.append(_extension(EXT_DATA_FILE, image.data_file.encode()))
    if image.feature_names:
        parts.append(_extension(EXT_FEATURE_NAMES, _feature_table(image.feature_names)))
    return b"".join(parts) + _extension(EXT_END, b"")


def _header_fields(image, l1_size, l1_offset, table_offset, table_clusters, name_offset, name):
    head = MAGIC + struct.pack(
        ">IQIIQIIQQIIQ", image.version, name_offset, len(name), image.cluster_bits, image.size,
        image.crypt_method, l1_size, l1_offset, table_offset, table_clusters, 0, 0)
    if image.version == 2:
        return head
    incompatible = image.incompatible
    incompatible |= INCOMPATIBLE_DATA_FILE if image.external_data else 0
    incompatible |= INCOMPATIBLE_EXTENDED_L2 if image.extended_l2 else 0
    autoclear = AUTOCLEAR_RAW_DATA_FILE if image.data_file_raw else 0
    head += struct.pack(">QQQII", incompatible, 0, autoclear, image.refcount_order,
                        image.header_length)
    return head.ljust(image.header_length, b"\0")


def header(image, l1_size=0, l1_offset=0, table_offset=0, table_clusters=0):
    """The header with its extensions and the backing name behind them."""
    extensions = _extensions(image)
    name = (image.backing or "").encode()
    length = 72 if image.version == 2 else image.header_length
    name_offset = length + len(extensions) if name else 0
    return _header_fields(image, l1_size, l1_offset, table_offset, table_clusters, name_offset,
                          name) + extensions + name


def fits(image):
    """Whether the header with all its names fits into the first cluster."""
    return len(image.backing or "") <= 1023 and len(header(image)) <= image.cluster_size


def _clusters_in_use(image):
    """The guest clusters that have data, and so need a host cluster."""
    wanted = {unit // image.units_per_cluster
              for unit, what in image.units.items() if what != ZERO}
    return sorted(wanted | image.preallocated)


def _l2_in_use(image):
    if image.empty_l2:
        return list(range(-(-image.n_clusters // image.l2_entries)))
    clusters = {unit // image.units_per_cluster for unit in image.units} | image.preallocated
    return sorted({cluster // image.l2_entries for cluster in clusters})


def _refcount_clusters(image, other_clusters):
    """How many clusters refcount blocks and refcount table take, counting themselves."""
    order = image.refcount_order if image.version > 2 else 4
    per_block = image.cluster_size * 8 >> order
    blocks = table = 1
    while True:
        need_blocks = -(-(other_clusters + blocks + table) // per_block)
        need_table = -(-need_blocks * 8 // image.cluster_size)
        if (need_blocks, need_table) == (blocks, table):
            return blocks, table
        blocks, table = need_blocks, need_table


def _place(image, rng, objects):
    """objects: (key, clusters). Host offsets in an order that the random numbers choose."""
    rng.shuffle(objects)
    places, next_cluster = {}, 1
    for key, clusters in objects:
        places[key] = next_cluster * image.cluster_size
        next_cluster += clusters
    return places, next_cluster


def _put_refcounts(image, blob, total, block_offsets, table_offset):
    order = image.refcount_order if image.version > 2 else 4
    bits = 1 << order
    per_block = image.cluster_size * 8 >> order
    for index, offset in enumerate(block_offsets):
        struct.pack_into(">Q", blob, table_offset + 8 * index, offset)
        used = min(per_block, total - index * per_block)
        if bits < 8:
            ones = sum(1 << (bit * bits) for bit in range(8 // bits))
            full, rest = divmod(used, 8 // bits)
            blob[offset:offset + full] = bytes((ones,)) * full
            if rest:
                blob[offset + full] = ones & ((1 << rest * bits) - 1)
        else:
            one = (1).to_bytes(bits // 8, "big")
            blob[offset:offset + used * len(one)] = one * used


def _l2_entry(image, cluster, host):
    first = cluster * image.units_per_cluster
    whats = [image.units.get(first + i) for i in range(image.units_per_cluster)]
    entry = 0 if host is None else host | COPIED
    if not image.extended_l2:
        return struct.pack(">Q", entry | (ALL_ZEROS if whats[0] == ZERO else 0))
    bitmap = 0
    for i, what in enumerate(whats):
        if what == ZERO:
            bitmap |= 1 << (32 + i)
        elif what is not None:
            bitmap |= 1 << i
    return struct.pack(">QQ", entry, bitmap)


def _put_data(image, blob, cluster, host, rng):
    """The host cluster: the units with data, and rubbish where nobody may look."""
    blob[host:host + image.cluster_size] = rng.randbytes(image.cluster_size)
    first = cluster * image.units_per_cluster
    for i in range(image.units_per_cluster):
        what = image.units.get(first + i)
        if what is not None and what != ZERO:
            at = host + i * image.unit_size
            blob[at:at + len(what)] = what


def compose(image, rng=None):
    """Writes the image; with the same random numbers always the same bytes."""
    rng = rng or random.Random(0)
    size = image.cluster_size
    l1_size = max(1, -(-image.n_clusters // image.l2_entries)) + image.l1_extra
    clusters, l2_tables = _clusters_in_use(image), _l2_in_use(image)
    objects = [("l1", -(-l1_size * 8 // size))]
    objects += [(("l2", index), 1) for index in l2_tables]
    if not image.external_data:
        objects += [(("host", cluster), 1) for cluster in clusters]
    blocks, table = _refcount_clusters(image, 1 + sum(n for _, n in objects))
    objects += [("table", table)] + [(("block", index), 1) for index in range(blocks)]
    places, total = _place(image, rng, objects)

    blob = bytearray(total * size)
    head = header(image, l1_size, places["l1"], places["table"], table)
    assert len(head) <= size, "the header does not fit into the first cluster"
    blob[:len(head)] = head
    _put_refcounts(image, blob, total, [places["block", i] for i in range(blocks)],
                   places["table"])
    hosts = {c: c * size if image.external_data else places["host", c] for c in clusters}
    for index in l2_tables:
        offset = places["l2", index]
        struct.pack_into(">Q", blob, places["l1"] + 8 * index, offset | COPIED)
        for i in range(image.l2_entries):
            cluster = index * image.l2_entries + i
            if cluster >= image.n_clusters:
                break
            entry = _l2_entry(image, cluster, hosts.get(cluster))
            at = offset + i * image.l2_entry_size
            blob[at:at + len(entry)] = entry
    if not image.external_data:
        for cluster, host in hosts.items():
            _put_data(image, blob, cluster, host, rng)
    return Composed(blob, hosts, places["l1"], l1_size,
                    {i: places["l2", i] for i in l2_tables}, places["table"])


def l2_entry_offset(image, composed, cluster):
    """Where the L2 entry of a guest cluster stands in the file."""
    index, slot = divmod(cluster, image.l2_entries)
    return composed.l2_offsets[index] + slot * image.l2_entry_size
