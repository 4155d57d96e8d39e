# SPDX-License-Identifier: LGPL-2.1-or-later
# trust_case.py - what the trust-*.py tests share: images whose headers name things.
import json
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "model")]

from bad_input import check_refused, refuse
from functions import STRATA, STRATA_NBD, TestFailure, Workspace, check, main, run
from qcow2_writer import Image, compose

__all__ = ["MIB", "STRATA", "STRATA_NBD", "TestFailure", "Workspace", "check", "check_refused",
           "drivers_of", "json_name", "main", "refuse", "run", "write", "write_data_file_image",
           "write_overlay"]

MIB = 1 << 20


def write(path, blob):
    with open(path, "wb") as file:
        file.write(blob)
    return path


def write_overlay(path, backing, backing_format="raw"):
    """An empty overlay of 1 MiB whose header names that backing file."""
    image = Image(MIB, backing=backing, backing_format=backing_format)
    return write(path, compose(image).blob)


def write_data_file_image(path, data_file):
    """An image whose header names that external data file."""
    image = Image(MIB, external_data=True, data_file_raw=True, data_file=data_file)
    image.units = {0: b"\x44" * image.unit_size}
    return write(path, compose(image).blob)


def json_name(tree):
    """A json: name as it may stand in a header, which has room for 1023 bytes."""
    return "json:" + json.dumps(tree, separators=(",", ":"))


def drivers_of(*words):
    """The drivers of a graph, in the order of its nodes."""
    done = subprocess.run([STRATA, "info", "--json", *words], capture_output=True, timeout=30)
    check(done.returncode == 0, f"strata info {' '.join(map(str, words))} ended with "
          f"{done.returncode}: {done.stderr.decode(errors='replace')}")
    return [node["driver"] for node in json.loads(done.stdout)["nodes"]]
