# SPDX-License-Identifier: LGPL-2.1-or-later
# limits_case.py - what the limits-*.py tests share: looking at a server from outside.
import os
import re
import resource

from nbd_case import check
# Found by nbd_case:
from functions import STRATA_NBD, count_workers, read_text, wait_for_log, wait_until  # noqa: E402

__all__ = ["IS_SANITIZED", "STRATA_NBD", "bound_descriptors", "bound_memory", "check_memory",
           "count_descriptors", "count_workers", "private_bytes", "read_text", "wait_for_log",
           "wait_until"]

# Memory is measured, which meson would have the allocator touch where no program does.
os.environ.pop("MALLOC_PERTURB_", None)

with open(STRATA_NBD, "rb") as program:
    IS_SANITIZED = bool(re.search(rb"__[at]san_init", program.read()))


def count_descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def private_bytes(process):
    """The memory that is the process's own: RssAnon of proc(5)."""
    status = read_text(f"/proc/{process.pid}/status")
    return int(re.search(r"^RssAnon:\s+(\d+) kB$", status, re.M)[1]) << 10


def check_memory(process, bound, what):
    """A sanitizer keeps what is freed, and its own books: then nothing is checked."""
    if IS_SANITIZED:
        return
    found = private_bytes(process)
    check(found <= bound, f"{found} bytes of memory are more than the bound, {bound}: {what}")


def bound_memory(process, more):
    """How much more data segment it may have than it has, None for any amount."""
    status = read_text(f"/proc/{process.pid}/status")
    has = int(re.search(r"^VmData:\s+(\d+) kB$", status, re.M)[1]) << 10
    soft = resource.RLIM_INFINITY if more is None else has + more
    hard = resource.prlimit(process.pid, resource.RLIMIT_DATA)[1]
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (soft, hard))


def bound_descriptors(process, more):
    """How many more descriptors it may have than it has."""
    numbers = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
    first = next(i for i in range(len(numbers) + 1) if i not in numbers)
    hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (first + more, hard))
