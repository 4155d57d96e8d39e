# SPDX-License-Identifier: LGPL-2.1-or-later
# workloads.py - what is measured, with the least that is acceptable and the aim of each.
#
# A load is a command line of bench/load. Where a peer knows no lengths of 64 bits, ours are
# compared with its 32 bits. "{size}" in a title is the size of the image.
import dataclasses

BASE = "base:allocation"
BOTH = "base:allocation,qemu:allocation-depth"
CLIENT_POLLS = 1000  # microseconds


@dataclasses.dataclass
class Goal:
    """Of ratios to the best peer: speed at least, processor time for the same work at most."""
    speed: float
    cpu: float | None = None
    peak: float | None = None  # MiB
    wide: bool = False  # lengths of 64 bits are not slower than those of 32


@dataclasses.dataclass
class Workload:
    name: str
    title: str
    image: str
    load: list
    least: Goal | None = None
    aim: Goal | None = None
    tcp: bool = False
    cold: bool = False
    kinds: tuple = ("qemu",)  # of peers
    heavy: bool = False  # takes seconds: fewer rounds
    options: tuple = ()  # of strata-nbd, beyond those that it has by default
    beside: str = ""  # the workload that it follows, with whose figures of peers it is compared


def map_load(contexts, bits=32):
    return ["map", f"--contexts={contexts}", f"--bits={bits}"]


def maps(name, title, image, goals):
    """One map by its contexts and lengths. @goals: {(contexts, bits): (least, aim)}"""
    words = {BASE: "", BOTH: ", with depth"}
    for (contexts, bits), (least, aim) in goals.items():
        tag = ("-both" if contexts == BOTH else "") + ("-64" if bits == 64 else "")
        yield Workload(
            f"map-{name}{tag}", f"map, {title}{words[contexts]}{', 64-bit' if bits == 64 else ''}",
            image, map_load(contexts, bits), least, aim, heavy=True,
            beside=f"map-{name}{tag.removesuffix('-64')}" if bits == 64 else "")


def all_maps():
    g = Goal
    yield from maps("random", "{size}, 8 layers, random", "random", {
        (BASE, 32): (g(10), g(20)), (BASE, 64): (g(10, wide=True), g(20, wide=True)),
        (BOTH, 32): (g(15), g(30, peak=64)),
        (BOTH, 64): (g(15, wide=True), g(30, peak=64, wide=True))})
    yield from maps("sparse", "{size}, 4 layers, 0.1 %", "sparse", {
        (BASE, 32): (g(4), g(8)), (BOTH, 32): (g(4), g(8)), (BOTH, 64): (g(10), g(20))})
    yield from maps("extended", "extended L2, {size}", "extended", {
        (BASE, 32): (g(8), g(20)), (BOTH, 32): (g(8), g(20)), (BOTH, 64): (g(8), g(20))})
    yield from maps("deep", "{size}, 64 layers", "deep-map", {
        (BASE, 32): (g(10), g(20)), (BOTH, 32): (g(10), g(20))})


def read_load(seconds, size, depth, connections=1, random=False):
    words = ["read", f"--seconds={seconds}", f"--size={size}", f"--depth={depth}",
             f"--connections={connections}"]
    return words + (["--random"] if random else [])


def sequential(name, title, image, seconds, least, aim, **more):
    return Workload(name, f"sequential 1 MiB, depth 8, {title}", image,
                    read_load(seconds, 1 << 20, 8), least, aim, **more)


def random_reads(name, title, image, seconds, depth, connections, least, aim, **more):
    return Workload(name, f"random 4 KiB, depth {depth}, {connections} conn., {title}", image,
                    read_load(seconds, 4096, depth, connections, random=True), least, aim, **more)


RAW = {"kinds": ("qemu", "nbdkit")}


def all_reads(seconds):
    s, g = seconds, Goal
    fast = (g(1.3, 0.5), g(1.9, 0.25))
    small = (g(1.7, 0.5), g(3, 0.3))
    packed = (g(1.3), g(2))
    yield sequential("seq-chain", "qcow2 chain", "chain", s, *fast)
    yield sequential("seq-raw", "raw", "chain.raw", s, *fast, **RAW)
    for depth in (8, 16, 32):
        for connections in (1, 4):
            yield random_reads(f"rnd-chain-{depth}-{connections}", "qcow2 chain", "chain", s, depth,
                               connections, *small)
    for connections in (1, 4):
        yield random_reads(f"rnd-raw-16-{connections}", "raw", "chain.raw", s, 16, connections,
                           *small, **RAW)
    yield random_reads("rnd-deep", "64 layers", "deep", s, 16, 1, g(4), g(12))
    for method in ("zlib", "zstd"):
        yield sequential(f"seq-{method}", method, method, s, *packed)
        yield random_reads(f"rnd-{method}", method, method, s, 16, 1, *packed)


def all_starts(seconds):
    ready = ["ready", "--count=10"]
    yield Workload("ready-tiny", "ready to serve, tiny image", "tiny", ready,
                   Goal(1 / 0.8), Goal(1 / 0.5))
    yield Workload("ready-deep", "ready to serve, 64 layers", "deep", ready,
                   Goal(1 / 0.5), Goal(1 / 0.2))
    yield Workload("connect", "connections per second", "tiny",
                   ["connect", f"--seconds={seconds}"], Goal(1.0), Goal(1.6))


def all_extras(seconds):
    s = seconds
    yield sequential("extra-seq-fragmented", "each cluster another layer", "fragmented", s, None,
                     None)
    for depth in (8, 16):
        polling = random_reads(f"extra-poll-rnd-chain-{depth}",
                               "qcow2 chain, client that does not sleep", "chain", s, depth, 1,
                               None, None)
        polling.load.append(f"--poll={CLIENT_POLLS}")
        yield polling
    for name, image, title, more in (("chain", "chain", "qcow2 chain", {}),
                                     ("raw", "chain.raw", "raw", RAW)):
        yield Workload(f"extra-drop-seq-{name}",
                       f"sequential 1 MiB, depth 8, {title}, client that does not copy", image,
                       [*read_load(s, 1 << 20, 8), "--drop"], **more)
    for name, options in (("rnd-tables", ()), ("rnd-tables-kept", ("--metadata-cache=512M",))):
        title = ", ".join(("{size}, 8 layers, random", *options))
        yield random_reads(f"extra-{name}", title, "random", s, 16, 1, None, None, options=options)
    yield sequential("extra-tcp-seq-chain", "qcow2 chain, TCP", "chain", s, None, None, tcp=True)
    yield sequential("extra-tcp-seq-raw", "raw, TCP", "chain.raw", s, None, None, tcp=True, **RAW)
    yield random_reads("extra-tcp-rnd-chain", "qcow2 chain, TCP", "chain", s, 16, 1, None, None,
                       tcp=True)
    yield sequential("extra-cold-seq-chain", "qcow2 chain, cold", "chain", s, None, None, cold=True)
    yield Workload("extra-map-scattered", "map, {size}, 4 layers, 0.1 % here and there",
                   "scattered", map_load(BASE), heavy=True)
    yield Workload("extra-map-zeros", "map, {size}, 8 layers, random, a third zeros", "zeros",
                   map_load(BASE), heavy=True)
    yield Workload("extra-cold-map-random", "map, {size}, 8 layers, random, cold", "random",
                   map_load(BASE), cold=True, heavy=True)


def all_workloads(seconds):
    return [*all_maps(), *all_reads(seconds), *all_starts(seconds), *all_extras(seconds)]
