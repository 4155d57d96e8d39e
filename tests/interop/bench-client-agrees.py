#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench-client-agrees.py - the client of the benchmarks tells of the same image the same, whoever
serves it and however it asks: digests of maps and of content, and content compared with a file."""
import itertools
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from functions import BUILDDIR, STRATA_NBD, Workspace, check, main, run  # noqa: E402

LOAD = BUILDDIR + "/bench/load"
CLUSTER, SIZE = 1 << 16, 5 * (1 << 20) + 512  # the last cluster is not whole
MASK = (1 << 64) - 1
BASE, DEPTH = "base:allocation", "qemu:allocation-depth"
HOLE_AND_ZERO = 3
UPPER, LOWER = {3, 4, 50}, {4, 5, 6, 40, 80}  # clusters


def mix(length, value):
    mixed = (length ^ value * 0x9e3779b97f4a7c15 & MASK) * 0xd6e8feb86659fd93 & MASK
    return mixed ^ mixed >> 32


def map_digest(values):
    """Of a map that has one of @values for each cluster, the last of which is cut."""
    total = weighted = 0
    for value, group in itertools.groupby(enumerate(values), lambda pair: pair[1]):
        places = [place for place, _ in group]
        end = min((places[-1] + 1) * CLUSTER, SIZE)
        total = total + mix(end - places[0] * CLUSTER, value) & MASK
        weighted = weighted + total & MASK
    return f"{mix(total, weighted):016x}"


def content_digest(content):
    words = struct.unpack(f"<{len(content) // 8}Q", content)
    total = sum(words) * 0x9e3779b97f4a7c15 & MASK
    placed = sum(word * place for place, word in enumerate(words, 1)) & MASK
    return f"{total ^ placed:016x}"


def load(*words):
    lines = run(LOAD, *words).splitlines()
    check(len(lines) == 1, f"load printed {len(lines)} lines")
    return json.loads(lines[0])


def make_chain(work):
    """An image of two layers, and a raw file with the same content."""
    lower, upper, raw = work.path("lower"), work.path("upper"), work.path("raw")
    run("qemu-img", "create", "-q", "-f", "qcow2", lower, SIZE)
    for path, clusters in (lower, LOWER), (upper, UPPER):
        if path == upper:
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", lower, "-F", "qcow2", upper)
        commands = [f"write -q -P {cluster + (path == upper) * 100} {cluster * CLUSTER} "
                    f"{min(CLUSTER, SIZE - cluster * CLUSTER)}" for cluster in sorted(clusters)]
        run("qemu-io", "-f", "qcow2", path, *(word for command in commands
                                             for word in ("-c", command)))
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", upper, raw)
    return upper, raw


def maps_agree(servers):
    n_clusters = (SIZE + CLUSTER - 1) // CLUSTER
    depths = [1 if i in UPPER else 2 if i in LOWER else 0 for i in range(n_clusters)]
    expected = {BASE: map_digest([0 if depth else HOLE_AND_ZERO for depth in depths]),
                DEPTH: map_digest(depths)}
    for name, server in servers.items():
        for words in [], ["--chunk=66048"], ["--rounds=3"], ["--bits=64"], ["--bits=64", "--chunk=1024"]:
            if name == "qemu-nbd" and "--bits=64" in words:
                continue  # it has no extended headers yet
            told = load("map", f"--contexts={BASE},{DEPTH}", *words, server)
            digests = {context["name"]: context["digest"] for context in told["contexts"]}
            check(digests == expected, f"{name}, {words}: {digests}, expected {expected}")
            check(told["size"] == SIZE and told["contexts"][0]["merged"] == 8,
                  f"{name}, {words}: {told}")


def content_agrees(servers, raw):
    with open(raw, "rb") as file:
        expected = content_digest(file.read())
    for name, server in servers.items():
        for words in (["--size=4096", "--depth=64"], ["--size=100001", "--connections=3"],
                      ["--simple"], ["--df", "--size=262144"], ["--extended", "--depth=1"]):
            if name == "qemu-nbd" and "--extended" in words:
                continue
            told = load("read", "--digest", f"--verify={raw}", *words, server)
            check(told["digest"] == expected and told["bytes"] == SIZE,
                  f"{name}, {words}: {told}, expected the digest {expected}")
            check((told["hole_bytes"] > 0) == (words[0] not in ("--simple", "--df")),
                  f"{name}, {words}: {told['hole_bytes']} bytes of holes")
        told = load("read", "--poll=1000", "--size=300000", "--depth=8", server)
        check(told["bytes"] == SIZE and told["requests"] == 18, f"{name}, polled: {told}")
        told = load("read", "--drop", "--size=300000", "--depth=8", server)
        check(told["bytes"] == SIZE and told["requests"] == 18, f"{name}, dropped: {told}")
        words = ["--random", "--size=4096", "--depth=16", "--connections=4", "--count=99"]
        told = [load("read", "--digest", f"--verify={raw}", f"--seed={seed}", *words, server)
                for seed in (7, 7, 8)]
        check(told[0]["requests"] == 99 and told[0]["digest"] == told[1]["digest"],
              f"{name}: the same seed, but {told}")
        check(told[0]["digest"] != told[2]["digest"], f"{name}: another seed, but {told}")


def connections_and_starts(work, servers, image):
    for server in servers.values():
        told = load("connect", "--count=20", "--parallel=3", server)
        check(told["connections"] == 20 and told["size"] == SIZE, f"connect: {told}")
    socket = work.socket()
    told = load("ready", "--count=2", socket, STRATA_NBD, "-k", socket, image)
    check(told["starts"] == 2 and told["ready_ms"]["least"] > 0, f"ready: {told}")


def test():
    with Workspace() as work:
        image, raw = make_chain(work)
        servers = {"strata-nbd": work.serve(image),
                   "qemu-nbd": f"nbd+unix:///?socket={work.serve_with_qemu('-f', 'qcow2', image)}"}
        maps_agree(servers)
        content_agrees(servers, raw)
        connections_and_starts(work, servers, image)


main(test)
