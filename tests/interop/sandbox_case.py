# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox_case.py - what the sandbox-*.py tests share: how a process looks from outside.
import ctypes
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import (STRATA_NBD, TestFailure, Workspace, check, connect, copy_for_everybody, main,
                       read_text, run, stop)

__all__ = ["CONFINED", "HAS_LANDLOCK", "NO_LANDLOCK", "STRATA_NBD", "TestFailure", "Workspace",
           "check", "connect", "copy_for_everybody", "is_confined", "main", "make_image",
           "read_text", "run", "status_of_threads", "stop", "threads", "wait_for",
           "wait_until_confined"]

# What this kernel has: landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION. Without, a
# test is about the other half of the sandbox, and about the words for what is missing.
HAS_LANDLOCK = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) > 0
NO_LANDLOCK = "this kernel has no Landlock, or it is switched off"
CONFINED = "--sandbox=on" if HAS_LANDLOCK else "--sandbox=auto"

SECCOMP_FILTER = "2"  # proc(5), Seccomp


def status_of_threads(process, key):
    """What /proc says under that key of every thread that is there."""
    values = {}
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        try:
            text = read_text(f"/proc/{process.pid}/task/{thread}/status")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = dict(line.split(":", 1) for line in text.splitlines())
        values[f"{thread} ({fields['Name'].strip()})"] = " ".join(fields[key].split())
    return values


def threads(process):
    return list(status_of_threads(process, "Name"))


def is_confined(process):
    """Whether all threads have both; None where some have and others have not."""
    answers = {(privileges, filters) for privileges, filters in zip(
        status_of_threads(process, "NoNewPrivs").values(),
        status_of_threads(process, "Seccomp").values())}
    if answers == {("1", SECCOMP_FILTER)}:
        return True
    return None if len(answers) > 1 else False


def wait_for(what, condition):
    deadline = time.monotonic() + 30
    while not condition():
        check(time.monotonic() < deadline, f"waited half a minute for {what}")
        time.sleep(0.01)


def wait_until_confined(process):
    """The pid file is there a moment before."""
    wait_for("every thread to be confined",
             lambda: process.poll() is not None or is_confined(process))
    check(process.poll() is None, f"the server ended: {read_text(process.log)}")


def make_image(work, name, size="1M"):
    path = work.path(name)
    run("qemu-img", "create", "-q", "-f", "qcow2", path, size)
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 64k", path)
    return path
