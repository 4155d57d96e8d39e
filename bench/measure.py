# SPDX-License-Identifier: LGPL-2.1-or-later
# measure.py - one server under one load: what the client got, and what the server took for it.
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time

from peers import Address
from servers import LOAD, Failed, wait_for

CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3): the clock of all threads of a process, ended ones too


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    return found


def cpu_seconds(pid):
    """Of the process and all its descendants that live, to the nanosecond."""
    own = time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    return own + sum(cpu_seconds(child) for child in children_of(pid))


def memory_of(pid):
    """(peak, own) in MiB: VmHWM of proc(5), and what is left of it without pages of files, which
    are libraries and the program, and may be shared."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.M))
    peak = int(status["VmHWM"])
    return peak / 1024, (peak - int(status["RssFile"])) / 1024


def run_load(words, what):
    result = subprocess.run([LOAD, *words], capture_output=True, text=True, check=False,
                            timeout=120)
    if result.returncode != 0:
        raise Failed(f"{what}: {result.stderr.strip()}")
    return json.loads(result.stdout.splitlines()[-1])


def accepts(address):
    if not address.port:
        family, target = socket.AF_UNIX, address.path
    else:
        family, target = socket.AF_INET, ("127.0.0.1", address.port)
    with socket.socket(family, socket.SOCK_STREAM) as client:
        return client.connect_ex(target) == 0


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Measurer:
    def __init__(self, bench):
        self.bench, self.n_addresses = bench, 0

    def new_address(self, tcp):
        self.n_addresses += 1
        return Address(self.bench.path(f"{self.n_addresses}.sock"), free_port() if tcp else None)

    def measure(self, make_command, image, load, tcp=False):
        """What the client printed, with what the server took: a server of its own each time."""
        address = self.new_address(tcp)
        command, export = make_command(image, address)
        if load[0] == "ready":
            return self.measure_ready(command, address.uri(export), load)
        if shutil.which(command[0]) is None:
            raise Failed(f"there is no {command[0]}")
        server = self.bench.start(*command)
        wait_for(lambda: accepts(address) or server.poll() is not None, command[0])
        if server.poll() is not None:
            raise Failed(f"{' '.join(command)} ended with {server.returncode}")
        before = cpu_seconds(server.pid)
        figures = run_load([*load, address.uri(export)], " ".join(command))
        figures["server_cpu"] = cpu_seconds(server.pid) - before
        figures["peak"], figures["own"] = memory_of(server.pid)
        self.bench.end(server)
        return figures

    def measure_ready(self, command, uri, load):
        """The client starts, and ends, the server."""
        figures = run_load([*load, uri, *command], " ".join(command))
        figures["server_cpu"] = figures["server_cpu_seconds"]["median"]
        figures["peak"] = figures["server_peak_kib"]["most"] / 1024
        return figures
