# SPDX-License-Identifier: LGPL-2.1-or-later
# report.py - tables of what was measured, as they stand in docs/performance.md.
import os
import platform
import re
import shutil
import statistics
import subprocess
import time

from peers import OURS


def version_of(program):
    if shutil.which(program) is None:
        return "(none)"
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return re.search(r"[\d.]+\d", words.stdout)[0]


def describe_run(n_rounds, heavy_rounds):
    """When, where and of what."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.M)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    return (f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors"
            f"{f' ({model[1]})' if model else ''}, {memory:.0f} GiB, Linux "
            f"{platform.release().split('-')[0]}, qemu-nbd {version_of('qemu-nbd')}, nbdkit "
            f"{version_of('nbdkit')}; rounds: {n_rounds}, of maps {heavy_rounds}; load average "
            f"before: {load:.1f}.")


# load: (figure, unit, how a figure is written, what of the client's print says the work)
FIGURES = {
    "map": ("s", lambda f: f["seconds"], "{:.3f}", lambda f: 1),
    "read": ("MiB/s", lambda f: f["mib_per_second"], "{:,.0f}", lambda f: f["bytes"] / 2**30),
    "random": ("1000/s", lambda f: f["requests_per_second"] / 1000, "{:.1f}",
               lambda f: f["requests"] / 1e6),
    "connect": ("1/s", lambda f: f["connections_per_second"], "{:,.0f}",
                lambda f: f["connections"] / 1000),
    "ready": ("ms", lambda f: f["ready_ms"]["median"], "{:.2f}", lambda f: 1),
}
NOT_SLOWER = 0.97  # what is within that is the same
LESS_IS_BETTER = ("map", "ready")
WORK = {"map": "a map", "read": "a GiB", "random": "a million requests", "connect":
        "1000 connections", "ready": "a start"}


def kind_of(workload):
    return "random" if "--random" in workload.load else workload.load[0]


class Sample:
    """One measurement of one server."""

    def __init__(self, workload, printed):
        self.kind, self.printed = kind_of(workload), printed
        self.figure = FIGURES[self.kind][1](printed)
        self.speed = 1 / self.figure if self.kind in LESS_IS_BETTER else self.figure
        work = FIGURES[self.kind][3](printed)
        self.cpu = printed["server_cpu"] / work if "server_cpu" in printed else None
        self.client_cpu = printed["cpu_seconds"] / work if "cpu_seconds" in printed else None


class Comparison:
    """Ours with the best peer of each round."""

    def __init__(self, workload, rounds, narrow=None):
        """@rounds: [{server: Sample}...]; @narrow: the same with lengths of 32 bits"""
        self.workload = workload
        self.wide = self.compare_wide(rounds, narrow) if narrow else None
        speeds, cpus, self.best = [], [], []
        for samples in rounds:
            peers = {name: sample for name, sample in samples.items() if name != OURS}
            if not peers or OURS not in samples:
                continue
            best = max(peers, key=lambda name: peers[name].speed)
            self.best.append(best)
            speeds.append(samples[OURS].speed / peers[best].speed)
            if samples[OURS].cpu is not None and peers[best].cpu:
                cpus.append(samples[OURS].cpu / peers[best].cpu)
        self.speeds, self.cpus = speeds, cpus
        self.speed = statistics.median(speeds) if speeds else None
        self.cpu = statistics.median(cpus) if cpus else None
        ours = [samples[OURS] for samples in rounds if OURS in samples]
        self.peak = max((s.printed.get("peak", 0) for s in ours), default=0)

    @staticmethod
    def compare_wide(rounds, narrow):
        return statistics.median(one[OURS].speed / other[OURS].speed
                                 for one, other in zip(rounds, narrow))

    def meets(self, goal):
        return (self.speed >= goal.speed and (goal.cpu is None or self.cpu <= goal.cpu) and
                (goal.peak is None or self.peak <= goal.peak) and
                (not goal.wide or self.wide is None or self.wide >= NOT_SLOWER))

    def stands(self):
        if self.workload.least is None or self.speed is None:
            return ""
        if self.meets(self.workload.aim):
            return "aim"
        return "least" if self.meets(self.workload.least) else "**short**"


def ratio_text(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def goal_text(goal):
    if goal is None:
        return ""
    return (f"{ratio_text(goal.speed).rstrip('0').rstrip('.')}x" +
            (f", {goal.cpu:g} CPU" if goal.cpu else "") +
            (f", {goal.peak:g} MiB" if goal.peak else "") +
            (", as fast as 32-bit" if goal.wide else ""))


def median_figure(samples):
    text = FIGURES[samples[0].kind][2]
    return text.format(statistics.median(s.figure for s in samples))


def cpu_text(samples):
    values = [s.cpu for s in samples if s.cpu is not None]
    return f"{statistics.median(values):.3f}" if values else ""


def of_server(rounds, name):
    return [samples[name] for samples in rounds if name in samples]


RATIO_HEAD = """\
| workload | strata-nbd | best peer | speed | least-most | CPU | least | aim | stands |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def ratio_row(comparison, rounds):
    workload = comparison.workload
    ours = of_server(rounds, OURS)
    if comparison.speed is None:
        return f"| {workload.title} | {median_figure(ours) if ours else ''} | | | | | | | |"
    best = statistics.mode(comparison.best)
    unit = FIGURES[ours[0].kind][0]
    cpu = ratio_text(comparison.cpu) if comparison.cpu is not None else ""
    return (f"| {workload.title} | {median_figure(ours)} {unit} | "
            f"{median_figure(of_server(rounds, best))} {unit}, {best} | "
            f"{ratio_text(comparison.speed)}x | {ratio_text(min(comparison.speeds))}-"
            f"{ratio_text(max(comparison.speeds))} | {cpu} | {goal_text(workload.least)} | "
            f"{goal_text(workload.aim)} | {comparison.stands()} |")


DETAIL_HEAD = """\
| workload, server | median | least-most | CPU s for | | client's | peak MiB | own |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def detail_rows(workload, rounds):
    for name, sample in rounds[0].items():
        if workload.beside and sample.printed["bits"] != 64:
            continue  # those stand in the rows of the other workload
        samples = of_server(rounds, name)
        unit, _, text, _ = FIGURES[samples[0].kind]
        figures = [s.figure for s in samples]
        client = [s.client_cpu for s in samples if s.client_cpu is not None]
        peak, own = (max(s.printed.get(key, 0) for s in samples) for key in ("peak", "own"))
        yield (f"| {workload.title}: {name} | {median_figure(samples)} {unit} | "
               f"{text.format(min(figures))}-{text.format(max(figures))} | "
               f"{cpu_text(samples)} | {WORK[samples[0].kind]} | "
               f"{f'{statistics.median(client):.3f}' if client else ''} | "
               f"{f'{peak:.1f}' if peak else ''} | {f'{own:.1f}' if own else ''} |")
