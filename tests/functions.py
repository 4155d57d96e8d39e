# SPDX-License-Identifier: LGPL-2.1-or-later
# functions.py - what Python tests share: a private folder, servers, maps. functions.sh is its twin.
#
# A test says:    with Workspace() as work: ...
# Whatever ends the block, all that was started is stopped and the folder is removed. KEEP=1 in the
# environment keeps the folder and says where it is.
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import nbd

SRCDIR = os.environ.get("SRCDIR", str(pathlib.Path(__file__).resolve().parent.parent))
BUILDDIR = os.environ.get("BUILDDIR", SRCDIR + "/.build/gcc")
STRATA_NBD = os.environ.get("STRATA_NBD", BUILDDIR + "/server/strata-nbd")
STRATA = os.environ.get("STRATA", BUILDDIR + "/tools/strata")
STRATA_PLUGIN = os.environ.get("STRATA_PLUGIN", BUILDDIR + "/plugins/nbdkit-strata-plugin.so")

LOG_SHOWN = 20000  # characters

CONTEXTS = ("base:allocation", "qemu:allocation-depth", "strata:layer", "strata:joint")


class TestFailure(Exception):
    """What is wrong, in a sentence; a test lets it end the program."""


def check(condition, message):
    if not condition:
        raise TestFailure(message)


def run(*command, **options):
    """Runs a program that must succeed; returns its standard output as text."""
    done = subprocess.run([str(word) for word in command], capture_output=True,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        raise TestFailure(f"{' '.join(map(str, command))} ended with {done.returncode}: "
                          f"{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def wait_until(condition, what, seconds=30):
    """Polls; a machine that is busy may take its time."""
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.005)


def wait_for_log(process, words, count=1):
    """A client may know of its fate before the log does. Returns the log."""
    wait_until(lambda: read_text(process.log).count(words) >= count,
               f"'{words}' in the log, {count} times")
    return read_text(process.log)


def count_workers(process):
    """The threads of a server that serve clients, or have just done so. A client that has asked for
    nothing for half a second has none."""
    n_workers = 0
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            n_workers += read_text(f"/proc/{process.pid}/task/{task}/comm") == "client\n"
    return n_workers


def in_parallel(jobs, n_threads=8):
    """Runs all jobs; the first failure is the test's."""
    jobs, failures = list(jobs), []

    def work():
        while not failures:
            try:
                job = jobs.pop()
            except IndexError:
                return
            try:
                job()
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Workspace:
    """A private folder, and the processes that were started in it."""

    def __init__(self):
        # Short, because the path of a Unix socket has at most 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="st.", dir="/tmp")
        self.processes = []
        self.sockets = 0

    def __enter__(self):
        # meson ends a test that takes too long with SIGTERM: clean up then, too.
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, failure, *_):
        if failure is not None:
            self.show_logs()
        for process in reversed(self.processes):  # clients before their servers
            try:
                stop(process)
            except TestFailure:
                if failure is None:  # else it would hide the first one
                    raise
        if os.environ.get("KEEP"):
            print("kept:", self.dir, file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def show_logs(self):
        """What the processes have said, the last of it: a failure may be seen once only."""
        for process in self.processes:
            text = read_text(process.log)[-LOG_SHOWN:]
            if text or process.poll():
                print(f"== {process.args[0]} {process.pid}, status {process.poll()}:\n{text}",
                      file=sys.stderr)

    def path(self, name):
        return f"{self.dir}/{name}"

    def start(self, *command):
        """Starts a server; its standard error goes to .log of the process."""
        log = self.path(f"log.{len(self.processes)}")
        with open(log, "wb") as out:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT)
        process.log = log
        self.processes.append(process)
        return process

    def start_with_pid_file(self, pid_file, *command):
        """Starts a server that writes its pid file once it can be connected to."""
        process = self.start(*command)
        deadline = time.monotonic() + 30
        while not (os.path.exists(pid_file) and os.path.getsize(pid_file)):
            check(process.poll() is None, f"{' '.join(map(str, command))} ended with "
                  f"{process.returncode}: {read_text(process.log)}")
            check(time.monotonic() < deadline, f"{command[0]} wrote no pid file in 30 seconds")
            time.sleep(0.002)
        return process

    def socket(self):
        self.sockets += 1
        return self.path(f"s{self.sockets}")

    def serve(self, *arguments):
        """strata-nbd with these arguments; returns its socket."""
        return self.serve_process(*arguments)[0]

    def serve_process(self, *arguments):
        socket = self.socket()
        return socket, self.start_with_pid_file(
            socket + ".pid", STRATA_NBD, "--socket", socket, "--pid-file", socket + ".pid",
            *arguments)

    def serve_with_qemu(self, *arguments):
        """qemu-nbd, read-only, telling depth; returns its socket."""
        socket = self.socket()
        self.start_with_pid_file(
            socket + ".pid", "qemu-nbd", f"--socket={socket}", f"--pid-file={socket}.pid",
            "--persistent", "--shared=0", "--read-only", "--allocation-depth", *arguments)
        return socket

    def serve_with_nbdkit(self, *arguments):
        """nbdkit with our plugin; returns its socket."""
        socket = self.socket()
        self.start_with_pid_file(
            socket + ".pid", "nbdkit", "--foreground", "--unix", socket, "--pidfile",
            socket + ".pid", STRATA_PLUGIN, *arguments)
        return socket


def copy_for_everybody(work):
    """A server in a folder that every user may enter, as the build folder may not be: the words of a
    command to which arguments are added."""
    folder = work.path("for-everybody")
    os.chmod(work.dir, os.stat(work.dir).st_mode | 0o011)
    if not os.path.exists(folder):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        for path in STRATA_NBD, BUILDDIR + "/lib/libstrata.so.0":
            os.chmod(shutil.copy(path, folder), 0o755)
    return ["env", f"LD_LIBRARY_PATH={folder}", f"{folder}/strata-nbd"]


def stop(process):
    """SIGTERM and wait; SIGKILL, and a failure, after ten seconds. Returns the exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TestFailure(f"process {process.pid} ignored SIGTERM; its log: "
                          f"{read_text(process.log)}") from None


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def list_contexts(socket, query, export=""):
    """What the server lists for a query of metadata contexts, in its order."""
    names = []
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.set_export_name(export)
    handle.add_meta_context(query)
    handle.connect_unix(socket)
    handle.opt_list_meta_context(names.append)
    handle.opt_abort()
    return names


def connect(socket, contexts=(), export=""):
    handle = nbd.NBD()
    handle.set_export_name(export)
    for context in contexts:
        handle.add_meta_context(context)
    handle.connect_unix(socket)
    for context in contexts:
        check(handle.can_meta_context(context), f"the server does not offer {context}")
    return handle


def block_status(handle, length, offset, flags=0):
    """One request: {context: [(offset, length, value)...]}, cut to the request."""
    answer = {}

    def keep(context, at, entries, _error):
        extents = answer.setdefault(context, [])
        for size, value in zip(entries[::2], entries[1::2]):
            check(size > 0, f"an extent of no length at {at:#x} in {context}")
            if flags & nbd.CMD_FLAG_REQ_ONE:
                check(at + size <= offset + length, f"REQ_ONE: an extent past the request's end "
                      f"{offset + length:#x} in {context}")
            check(at < offset + length, f"an extent that begins at {at:#x}, beyond the request's "
                  f"end {offset + length:#x} in {context}")
            extents.append((at, min(size, offset + length - at), value))
            at += size

    handle.block_status(length, offset, keep, flags)
    if flags & nbd.CMD_FLAG_REQ_ONE:
        for context, extents in answer.items():
            check(len(extents) == 1, f"REQ_ONE: {len(extents)} extents in {context}")
    return answer


def merge_extents(extents):
    """(offset, length, value) extents to the same map in as few as possible."""
    merged = []
    for offset, length, value in extents:
        if merged and merged[-1][2] == value and merged[-1][0] + merged[-1][1] == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + length, value)
        else:
            merged.append((offset, length, value))
    return merged


def whole_maps(handle, contexts, step=1 << 26):
    """The merged map of each context over the whole export, all of them asked together."""
    maps = {context: [] for context in contexts}
    size, offset = handle.get_size(), 0
    while offset < size:
        answer = block_status(handle, min(step, size - offset), offset)
        check(set(answer) == set(contexts),
              f"asked for {sorted(contexts)}, told {sorted(answer)}")
        ends = [extents[-1][0] + extents[-1][1] for extents in answer.values()]
        end = min(ends)
        for context, extents in answer.items():
            maps[context] += [(at, min(length, end - at), value)
                              for at, length, value in extents if at < end]
        offset = end
    return {context: merge_extents(extents) for context, extents in maps.items()}


def read_all(handle, step=1 << 22):
    size = handle.get_size()
    return b"".join(bytes(handle.pread(min(step, size - at), at)) for at in range(0, size, step))


def error_of_read(handle, offset):
    """The errno of a read of one page; 0 where there is none."""
    try:
        handle.pread(4096, offset)
    except nbd.Error as error:
        return error.errnum
    return 0


def first_difference(one, other):
    """The first offset at which two byte strings differ, or None."""
    if one == other:
        return None
    for at in range(0, max(len(one), len(other)), 4096):
        if one[at:at + 4096] != other[at:at + 4096]:
            a, b = one[at:at + 4096], other[at:at + 4096]
            return at + next((i for i, (x, y) in enumerate(zip(a, b)) if x != y),
                             min(len(a), len(b)))
    return None


def check_same_bytes(expected, actual, what):
    at = first_difference(expected, actual)
    if at is not None:
        raise TestFailure(f"{what}: bytes differ at {at:#x} (sizes {len(expected)} and "
                          f"{len(actual)}): expected {expected[at:at + 16].hex()}, "
                          f"found {actual[at:at + 16].hex()}")


def show_map(extents):
    return "\n".join(f"  {offset:#10x} {length:#10x}  {value}" for offset, length, value in extents)


def check_same_map(expected, actual, what):
    if expected == actual:
        return
    different = next((i for i, (a, b) in enumerate(zip(expected, actual)) if a != b),
                     min(len(expected), len(actual)))
    window = slice(max(0, different - 2), different + 4)
    raise TestFailure(f"{what}: maps differ from extent {different} on\nexpected\n"
                      f"{show_map(expected[window])}\nfound\n{show_map(actual[window])}")


def main(test):
    """Runs a test function; a failure is one readable message and exit status 1."""
    try:
        test()
    except TestFailure as failure:
        sys.exit(f"FAIL: {failure}")
