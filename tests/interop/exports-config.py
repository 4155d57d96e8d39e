#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-config.py - a configuration file says what is served: names, descriptions, layers, bitmaps;
# and a mistake in it is told with file, group and key.
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import (STRATA_NBD, Workspace, check, connect, list_contexts, nbd,  # noqa: E402
                       read_all, run)

CONFIG = """
[DEFAULT]
format = qcow2

[vm]
image = disks/over.qcow2
description = the \\\\ server

[closed box]
image = disks/over.qcow2
layers = off

[some]
image = disks/base.qcow2
bitmaps = monday

[none]
image = disks/base.qcow2
bitmaps = none

[later]
image = disks/base.qcow2
on-demand = on

[default]
name =
image-opts = driver=raw,offset=64k,file.driver=qcow2,file.file.driver=file,file.file.filename=disks/base.qcow2
"""


def make_images(work):
    os.mkdir(work.path("disks"))
    base, over = work.path("disks/base.qcow2"), work.path("disks/over.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "1M")
    run("qemu-io", "-c", "write -P 7 64k 64k", base)
    for name in ("monday", "tuesday"):
        run("qemu-img", "bitmap", "--add", base, name)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", over)


def list_exports(socket):
    told = json.loads(run("nbdinfo", "--list", "--json", f"nbd+unix:///?socket={socket}"))
    return {export["export-name"]: export for export in told["exports"]}


def check_list(exports):
    expected = ["vm", "vm@over.qcow2", "vm@base.qcow2", "closed box", "some", "some@base.qcow2",
                "none", "none@base.qcow2", "later", "", "@base.qcow2-raw", "@base.qcow2"]
    check(list(exports) == expected, f"the list is {list(exports)}")
    check(exports["vm"]["description"] == "the \\ server", "the description is not the one given")
    check(exports["closed box"]["description"] == "a disk of 1048576 bytes",
          f"what hides its layers is described as {exports['closed box']['description']}")
    check("opened when it is asked for" in exports["later"]["description"],
          f"what is opened on demand is described as {exports['later']['description']}")
    check(exports[""]["export-size"] == 1048576 - 65536, "the window is not where it should be")
    check(not [name for name in exports if name.startswith(("closed box@", "later@"))],
          f"nodes are listed that should not be: {list(exports)}")


def check_layers(socket):
    told = list_contexts(socket, "", "closed box") or list_contexts(socket, "strata:", "closed box")
    check(not [name for name in told if name.startswith("strata:") or "depth" in name or
               "above" in name], f"layers=off, but there are {told}")
    check(list_contexts(socket, "strata:", "vm"), "there is no strata: context of an open export")
    for name in ("closed box@over.qcow2", "closed box@base.qcow2"):
        try:
            connect(socket, export=name)
        except nbd.Error:
            continue
        raise AssertionError(f"{name} is served")
    connect(socket, ["qemu:dirty-bitmap:monday"], "closed box").shutdown()
    connect(socket, ["qemu:allocation-depth"], "later@base.qcow2").shutdown()


def check_bitmaps(socket):
    for export, expected in (("vm", ["monday", "tuesday"]), ("some", ["monday"]), ("none", []),
                             ("some@base.qcow2", ["monday"])):
        told = [name for name in list_contexts(socket, "qemu:dirty-bitmap:", export)
                if ":above:" not in name]
        check(told == ["qemu:dirty-bitmap:" + name for name in expected],
              f"the bitmaps of {export} are {told}, not {expected}")


def check_mistakes(work):
    def refused(text, *words):
        pathlib.Path(work.path("bad.conf")).write_text(text, encoding="utf-8")
        done = subprocess.run([STRATA_NBD, "--config", work.path("bad.conf"), "-k",
                               work.path("never"), "disks/base.qcow2"], capture_output=True,
                              cwd=work.dir, stdin=subprocess.DEVNULL, timeout=60)
        told = done.stderr.decode()
        check(done.returncode == 1 and told.count("\n") == 1, f"{text!r}: {told}")
        for word in ("bad.conf", *words):
            check(word in told, f"{text!r}: no '{word}' in: {told}")

    refused("[a]\nimage=disks/base.qcow2\nimag=x\n", "[a]", "'imag'", "load-snapshot")
    refused("[a]\nimage=disks/none.qcow2\n", 'export "a"', "none.qcow2", "No such file")
    refused("[a]\nimage=disks/base.qcow2\nbitmaps=friday\n", 'export "a"',
            "bitmaps: the image has no bitmap 'friday'", "'monday'")
    refused("[a]\nname=\nimage=disks/base.qcow2\n", 'two exports of the name ""')
    refused("[a]\nimage=disks/base.qcow2\nprobe=2\n", "[a], probe", "on or off")


with Workspace() as work:
    make_images(work)
    pathlib.Path(work.path("exports.conf")).write_text(CONFIG, encoding="utf-8")
    socket = work.serve("--config", work.path("exports.conf"))
    exports = list_exports(socket)
    check_list(exports)
    check_layers(socket)
    check_bitmaps(socket)
    whole = read_all(connect(socket, export="vm"))
    check(whole[65536:131072] == b"\7" * 65536, "the image does not hold what was written")
    check(read_all(connect(socket, export="")) == whole[65536:], "the window shows other bytes")

    uri = f"nbd+unix:///vm?socket={socket}"
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, work.path("disks/over.qcow2"))
    run("nbdcopy", f"nbd+unix:///later?socket={socket}", work.path("copy"))
    check(pathlib.Path(work.path("copy")).read_bytes() == whole, "nbdcopy copied other bytes")

    both = work.serve("--config", work.path("exports.conf"), "-x", "extra", "-D", "one more",
                      work.path("disks/base.qcow2"))
    first = next(iter(list_exports(both).values()))
    check(first["export-name"] == "extra" and first["description"] == "one more",
          f"the image of the command line is listed as {first}")
    check_mistakes(work)
