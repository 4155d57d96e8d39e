#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-directory.py - a directory of images: who is in the list, in which order, what is no image,
# and that of thousands of files the newest are listed, without one being opened.
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import (STRATA_NBD, Workspace, check, connect, nbd, read_all, run,  # noqa: E402
                       wait_for_log)
from nbd_client import OPT_INFO, REP_ACK, Client  # noqa: E402

MANY, LISTED = 17000, 16384


def list_exports(path):
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_unix(path)
    exports = []
    handle.opt_list(lambda name, description: exports.append((name, description)))
    handle.opt_abort()
    return exports


def names(path):
    return [name for name, _ in list_exports(path)]


def why_refused(path, name):
    """What the server answers to a client that chooses that export; None if it gets it."""
    client = Client(path)
    kind, text = client.option(OPT_INFO, Client.info_data(name.encode()))[-1]
    client.close()
    return None if kind == REP_ACK else text.decode()


def put(folder, name, data, mtime):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, (mtime, mtime))


def check_listing(work):
    folder = work.path("dir")
    os.mkdir(folder)
    put(folder, "old", b"a" * 512, 1000)
    put(folder, "new", b"b" * 1024, 3000)
    put(folder, "middle 2", b"c" * 512, 2000)
    put(folder, "middle 1@x:y", b"d" * 512, 2000)
    put(folder, ".hidden", b"e" * 512, 5000)
    put(folder, b"no\xffutf8".decode(errors="surrogateescape"), b"f" * 512, 5000)
    put(folder, "new\nline", b"g" * 512, 500)
    os.mkdir(folder + "/folder")
    put(folder + "/folder", "inside", b"h" * 512, 5000)
    os.mkfifo(folder + "/fifo")
    os.symlink("folder/inside", folder + "/link")
    os.symlink("/etc/passwd", folder + "/out")
    os.symlink("../secret", folder + "/up")
    put(work.dir, "secret", b"s" * 512, 1)
    path = work.serve("--directory", folder)
    expected = ["link", "new", "middle 1@x:y", "middle 2", "old", "new\nline"]
    check(names(path) == expected, f"the list is {names(path)}")
    check(dict(list_exports(path))["new"] ==
          "a file of 1024 bytes, written on 1970-01-01 00:50:00 UTC", str(list_exports(path)))
    for name in (".hidden", "folder", "folder/inside", "fifo", "out", "up", "../secret", ".", "..",
                 "/etc/passwd", folder + "/new", "", "new/", "x" * 4096, "@" * 4096, ":@" * 2048, "new@" * 1024,
                 "new@new@new:", "new@new:", "new@:", "new@", "new@new:x@new:"):
        check("there is no such export" in (why_refused(path, name) or ""),
              f"'{name}': {why_refused(path, name)}")
    check(read_all(connect(path, export="link")) == b"h" * 512, "the link leads elsewhere")
    check(read_all(connect(path, export="middle 1@x:y")) == b"d" * 512, "a name with @ in it")
    put(folder, "newest", b"i" * 512, 4000)
    check(names(path)[1] == "newest", f"a new file is not seen: {names(path)}")
    os.unlink(folder + "/newest")
    check("there is no such export" in why_refused(path, "newest"), "a file that is gone is served")


def check_what_does_not_open(work):
    folder = work.path("bad")
    os.mkdir(folder)
    put(folder, "cut.qcow2", b"QFI\xfb\0\0\0\3", 1000)
    run("qemu-img", "create", "-q", "-f", "raw", work.path("secret.raw"), "1M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", work.path("secret.raw"), "-F", "raw",
        folder + "/escape.qcow2")
    path, process = work.serve_process("--directory", folder)
    for name, why, kind in (("cut.qcow2", "cut.qcow2", "it is damaged"),
                            ("escape.qcow2", "secret.raw", "it may not lead to")):
        told = why_refused(path, name)
        check(told and "cannot open the image" in told and kind in told, f"{name}: {told}")
        check("/" not in told, f"a client is told a path of the server: {told}")
        wait_for_log(process, "cannot open the image")
        wait_for_log(process, why)
    path = work.serve("--directory", folder, "--allow", work.dir)
    check(why_refused(path, "escape.qcow2") is None, "--allow does not allow it")


def check_precedence(work):
    folder = work.path("dir")
    put(work.dir, "image", b"z" * 512, 1)
    path = work.serve("--directory", folder, "-f", "raw", "-x", "new", work.path("image"))
    check(names(path).count("new") == 1, f"'new' is listed {names(path).count('new')} times")
    check(read_all(connect(path, export="new")) == b"z" * 512, "the file hides the command line")
    put(folder, "new@image", b"x" * 512, 1)
    put(folder, "new@image:s", b"x" * 512, 1)
    put(folder, "new@other", b"y" * 512, 1)
    check(names(path).count("new@image") == 1 and "new@image:s" not in names(path) and
          "new@other" in names(path), f"there are {names(path)}")
    check(read_all(connect(path, export="new@image")) == b"z" * 512, "the file hides a node")
    check(read_all(connect(path, export="new@other")) == b"y" * 512, "it is no node, but not served")


def check_many(work):
    folder = work.path("many")
    os.mkdir(folder)
    put(work.dir, "one", b"", 1000)
    for i in range(MANY):
        os.link(work.path("one"), f"{folder}/image-{i:05}.raw")
    path, process = work.serve_process("--directory", folder)
    listed = names(path)
    check(listed == [f"image-{i:05}.raw" for i in range(LISTED)],
          f"{len(listed)} are listed, from {listed[:2]} to {listed[-2:]}")
    descriptors = os.listdir(f"/proc/{process.pid}/fd")
    check(len(descriptors) < 60, f"{len(descriptors)} descriptors are open after a list")
    check(why_refused(path, f"image-{MANY - 1:05}.raw") is None, "what is not listed is not there either")


def check_no_directory(work):
    for wrong, word in (("nowhere", "No such file"), ("image", "Not a directory")):
        done = subprocess.run([STRATA_NBD, "--directory", work.path(wrong), "-k", work.path("s")],
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        told = done.stderr.decode()
        check(done.returncode == 1 and wrong in told and word in told, told)


with Workspace() as work:
    check_listing(work)
    check_what_does_not_open(work)
    check_precedence(work)
    check_many(work)
    check_no_directory(work)
