# SPDX-License-Identifier: LGPL-2.1-or-later
# mixed_case.py - what the mixed-*.py tests share: making images, encrypted ones too.
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from functions import TestFailure, run

ATTEMPTS = 20


def create_image(*words):
    """qemu-img create. To choose an iteration count QEMU measures the processor, and gives up where
    the clock of the machine is too coarse for that: then it is asked again."""
    for attempt in range(ATTEMPTS):
        try:
            return run("qemu-img", "create", "-q", *words)
        except TestFailure as failure:
            if attempt == ATTEMPTS - 1 or "accurate CPU usage" not in str(failure):
                raise
