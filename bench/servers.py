# SPDX-License-Identifier: LGPL-2.1-or-later
# servers.py - a private folder and processes, for all benchmarks; servers, images and good clients
# of fairness.py.
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILDDIR", SOURCE / ".build" / "gcc"))
STRATA_NBD = os.environ.get("STRATA_NBD", str(BUILD / "server" / "strata-nbd"))
LOAD = str(BUILD / "bench" / "load")


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.005)


class Failed(Exception):
    """Something could not be measured, and why."""


def end_by(number, _):
    """As if the program had come to its end, so that nothing is left behind."""
    sys.exit(128 + number)


def at_least(least, kind):
    """For argparse: a number of that kind, and not below."""
    def parse(text):
        if (value := kind(text)) < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return value
    parse.__name__ = kind.__name__  # which argparse names in its message
    return parse


class Bench:
    """A private folder, and the processes that were started in it."""

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end_by)
        self.folder = tempfile.mkdtemp(prefix="bench.")
        self.processes = []
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *command):
        with open(self.path("log"), "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def end(self, process):
        self.processes.remove(process)
        process.kill()
        process.wait()

    def data_image(self, mebibytes):
        """A raw image full of data."""
        path = self.path("data.raw")
        piece = os.urandom(1 << 20)
        with open(path, "wb") as image:
            for _ in range(mebibytes):
                image.write(piece)
        return path

    def fragmented_image(self, n_extents):
        """A qcow2 image where each second cluster of 64 KiB has data."""
        path = self.path("fragmented.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(n_extents << 16)],
                       check=True)
        writes = "".join(f"write -q {i << 17} 64k\n" for i in range(n_extents // 2))
        subprocess.run(["qemu-io", "-f", "qcow2", path], input=writes.encode(), check=True,
                       stdout=subprocess.DEVNULL)
        return path


class Server:
    """One that listens on a Unix socket."""

    def __init__(self, bench, name, command):
        self.name = name
        self.bench = bench
        self.socket = bench.path(f"{len(bench.processes)}.sock")
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self.command = [word.replace("SOCKET", self.socket) for word in command]
        self.start()

    def start(self):
        self.process = self.bench.start(*self.command)
        wait_for(lambda: os.path.exists(self.socket), f"the socket of {self.name}")

    def has_died(self):
        """Whether it has; then it is started again."""
        if self.process.poll() is None:
            return False
        print(f"{self.name} ended with {self.process.returncode}", file=sys.stderr)
        self.bench.end(self.process)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        self.start()
        return True

    def memory(self):
        """(RSS, PSS, anonymous) in KiB, as proc(5) tells them in smaps_rollup."""
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as file:
            text = file.read()
        return tuple(int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1])
                     for key in ("Rss", "Pss", "Anonymous"))


def commands(image, image_format):
    """{name: command}, each serving the image read-only to any number of clients."""
    servers = {
        "strata-nbd": [STRATA_NBD, "-k", "SOCKET", "-f", image_format, image],
        "qemu-nbd": ["qemu-nbd", "-k", "SOCKET", "-f", image_format, "-t", "-e", "0", "-r", image],
    }
    if image_format == "raw":
        servers["nbdkit file"] = ["nbdkit", "-f", "-r", "-U", "SOCKET", "file", image]
    return servers


class PeakMemory(threading.Thread):
    """The most that a server takes while it is measured."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.peak, self.over = server, (0, 0, 0), threading.Event()
        self.start()

    def run(self):
        with contextlib.suppress(OSError, TypeError):  # it has died
            while not self.over.wait(0.05):
                self.peak = tuple(map(max, self.peak, self.server.memory()))

    def finish(self):
        self.over.set()
        self.join()
        return self.peak


class GoodClient:
    """Connected when it is made; finish() tells what it gets in a second."""
    LOADS = {"read": ("read", "mib_per_second"), "status": ("map", "extents_per_second")}

    def __init__(self, kind, server, seconds):
        load, self.figure = self.LOADS[kind]
        self.process = subprocess.Popen([LOAD, load, "--wait", "--seconds", str(seconds),
                                         server.uri], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "connected\n":
            raise SystemExit(f"{server.name} does not serve a good client")

    def finish(self):
        line = self.process.communicate("go\n")[0]
        return json.loads(line)[self.figure] if line else 0.0
