# SPDX-License-Identifier: LGPL-2.1-or-later
# limits_case.py - what the limits-*.py tests share: looking at a server from outside.
import os
import re

from nbd_case import check
from functions import STRATA_NBD, read_text, wait_until  # noqa: E402 (found by nbd_case)

__all__ = ["IS_SANITIZED", "STRATA_NBD", "check_log_says", "check_memory", "count_descriptors",
           "count_threads", "private_bytes", "read_text", "wait_until"]

# Memory is measured, which meson would have the allocator touch where no program does.
os.environ.pop("MALLOC_PERTURB_", None)

with open(STRATA_NBD, "rb") as program:
    IS_SANITIZED = bool(re.search(rb"__[at]san_init", program.read()))


def count_threads(process):
    return len(os.listdir(f"/proc/{process.pid}/task"))


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


def check_log_says(process, sentence):
    wait_until(lambda: sentence in read_text(process.log), f"'{sentence}' in the log: "
               f"{read_text(process.log)}")
