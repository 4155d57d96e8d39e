#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a good client gets beside slow, silent and hostile ones, and what the server takes.

Every round measures each server alone and beside each kind of neighbour; a ratio is of two figures
of the same round. Printed are medians, and the least and the largest ratio."""
import argparse
import resource
import shutil
import statistics
import sys
import time

import neighbours
from servers import Bench, GoodClient, PeakMemory, Server, at_least, commands

UNITS = {"read": "MiB/s", "status": "extents/s"}


def measure_beside(bench, server, kind, neighbour, seconds):
    """(figure, peak memory)"""
    good = GoodClient(kind, server, seconds)
    beside = neighbour(bench, server)
    time.sleep(0.2)  # until it is at it
    memory = PeakMemory(server)
    figure = good.finish()
    peak = memory.finish()
    beside.end()
    time.sleep(0.2)
    if server.has_died():
        print(f"{server.name} has ended beside: {neighbour.name}", file=sys.stderr)
    return figure, peak


def run_rounds(bench, servers, kind, options):
    """{(server, neighbour): [(figure, ratio, peak memory)...]}"""
    results = {}
    for _ in range(options.rounds):
        for server in servers:
            alone = None
            for neighbour in neighbours.ALL:
                figure, peak = measure_beside(bench, server, kind, neighbour, options.seconds)
                alone = alone or figure
                results.setdefault((server.name, neighbour.name), []).append(
                    (figure, figure / alone, peak))
    return results


def print_results(kind, results):
    print(f"\n| {kind}: server, neighbours | {UNITS[kind]} | of alone | least-most | RSS MiB | "
          "PSS MiB | own MiB |\n| --- | --- | --- | --- | --- | --- | --- |")
    for (server, neighbour), rows in results.items():
        figures, ratios, peaks = zip(*rows)
        rss, pss, own = (max(values) / 1024 for values in zip(*peaks))
        print(f"| {server}, {neighbour} | {statistics.median(figures):,.0f} | "
              f"{statistics.median(ratios):.0%} | {min(ratios):.0%}-{max(ratios):.0%} | "
              f"{rss:.1f} | {pss:.1f} | {own:.1f} |", flush=True)


def measure_all(bench, options):
    cases = {"read": (bench.data_image(256), "raw"),
             "status": (bench.fragmented_image(20000), "qcow2")}
    for kind, (image, image_format) in cases.items():
        servers = [Server(bench, name, command)
                   for name, command in commands(image, image_format).items()
                   if (not options.only or name in options.only) and shutil.which(command[0])]
        print_results(kind, run_rounds(bench, servers, kind, options))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=at_least(1, int), default=5)
    parser.add_argument("--seconds", type=at_least(0.1, float), default=1.5,
                        help="of each measurement")
    parser.add_argument("--only", nargs="*", help="servers by name (default: all)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    try:
        with Bench() as bench:
            measure_all(bench, options)
    except OSError as error:
        sys.exit(f"bench/fairness.py: {error}")


main()
