# SPDX-License-Identifier: LGPL-2.1-or-later
# nbd_case.py - the seed images, served, for tests that speak the protocol themselves.
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from functions import STRATA_NBD, Workspace, check, read_text, run  # noqa: E402,F401

MIB = 1 << 20
SIZE = 10 * MIB
# base.qcow2 holds 0-1 MiB, overlay.qcow2 2-3 MiB (data) and 4-5 MiB (zero clusters).
CONTENT = b"\x11" * MIB + bytes(MIB) + b"\x22" * MIB + bytes(7 * MIB)


def make_seed_images(work):
    base, overlay = work.path("base.qcow2"), work.path("overlay.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, str(SIZE))
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x11 0 1M", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", overlay)
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 0x22 2M 1M", "-c", "write -q -z 4M 1M",
        overlay)
    return overlay


def equal(actual, expected, what):
    if actual != expected:  # only then: to write megabytes out takes long
        check(False, f"{what}: expected {expected!r}, got {actual!r}"[:2000])
