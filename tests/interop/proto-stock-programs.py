#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that people use: nbdinfo, nbdsh's library, nbdcopy, QEMU's tools and nbd-client."""
import contextlib
import errno
import json
import os
import subprocess

import nbd

from nbd_case import CONTENT, MIB, SIZE, Workspace, check, equal, make_seed_images, run
from functions import wait_for_log

CLIENT_PATH = "/usr/sbin:/sbin:" + os.environ["PATH"]


def uri(path, name=""):
    return f"nbd+unix:///{name}?socket={path}"


def with_nbdinfo(path):
    told = json.loads(run("nbdinfo", "--json", uri(path, "disk")))
    export = told["exports"][0]
    equal(told["protocol"], "newstyle-fixed", "protocol")
    for key, value in (("export-name", "disk"), ("description", "words"), ("export-size", SIZE),
                       ("is_read_only", True), ("can_df", True), ("can_cache", True),
                       ("can_flush", True), ("can_multi_conn", True), ("can_fua", False),
                       ("can_trim", False), ("can_zero", False), ("can_fast_zero", False),
                       ("is_rotational", False), ("block_size_minimum", 1),
                       ("block_size_preferred", 4096), ("block_size_maximum", 32 * MIB)):
        equal(export.get(key), value, f"nbdinfo: {key}")
    check("base:allocation" in export["contexts"], "nbdinfo lists no base:allocation")
    listed = json.loads(run("nbdinfo", "--json", "--list", uri(path)))["exports"]
    equal([one["export-name"] for one in listed], ["disk", "disk@overlay.qcow2", "disk@base.qcow2"],
          "nbdinfo --list")
    equal(run("nbdinfo", "--size", uri(path, "disk")), f"{SIZE}\n", "nbdinfo --size")
    found = json.loads(run("nbdinfo", "--map", "--json", uri(path, "disk")))
    equal([(one["offset"], one["length"], one["type"]) for one in found],
          [(0, MIB, 0), (MIB, MIB, 3), (2 * MIB, MIB, 0), (3 * MIB, 7 * MIB, 3)], "nbdinfo --map")
    for what, can in (("read", 0), ("df", 0), ("cache", 0), ("flush", 0), ("multi-conn", 0),
                      ("write", 2), ("trim", 2), ("zero", 2), ("fast-zero", 2), ("fua", 2)):
        done = subprocess.run(["nbdinfo", "--can", what, uri(path, "disk")], check=False)
        equal(done.returncode, can, f"nbdinfo --can {what}")


@contextlib.contextmanager
def refused(number, what):
    try:
        yield
    except nbd.Error as error:
        equal(error.errno, errno.errorcode[number], what)
        return
    check(False, f"{what} was not refused")


def illegal_requests(handle, structured):
    """What libnbd sends when it is told not to check; the server does."""
    handle.set_strict_mode(0)
    for what, number, request in (
            ("a read past the end", errno.EINVAL, lambda: handle.pread(512, SIZE)),
            ("a read that wraps", errno.EINVAL, lambda: handle.pread(512, (1 << 63) - 256)),
            ("a read with a flag of another command", errno.EINVAL,
             lambda: handle.pread(512, 0, nbd.CMD_FLAG_REQ_ONE)),
            ("a write", errno.EPERM, lambda: handle.pwrite(b"x" * 70_000, 0)),
            ("a trim", errno.EPERM, lambda: handle.trim(512, 0)),
            ("write zeroes", errno.EPERM, lambda: handle.zero(512, 0)),
            ("a cache past the end", errno.EINVAL, lambda: handle.cache(SIZE + 1, 0)),
            ("a cache with a flag", errno.EINVAL, lambda: handle.cache(1, 0, nbd.CMD_FLAG_DF)),
            ("a flush with FUA", errno.EINVAL, lambda: handle.flush(nbd.CMD_FLAG_FUA)),
            ("a status without a context", errno.EINVAL,
             lambda: handle.block_status(512, 0, lambda *_: 0))):
        if what.startswith("a status") and not structured:
            continue  # libnbd itself has no way to send it
        with refused(number, what):
            request()
        equal(bytes(handle.pread(4, 2 * MIB)), b"\x22" * 4, f"a read after {what}")


def with_libnbd(path):
    for structured in (True, False):
        handle = nbd.NBD()
        handle.set_request_structured_replies(structured)
        handle.set_export_name("disk")
        handle.connect_unix(path)
        equal(handle.get_structured_replies_negotiated(), structured, "structured replies")
        equal(handle.get_size(), SIZE, "size")
        equal(bytes(handle.pread(SIZE, 0)) == CONTENT, True, "content")
        handle.cache(SIZE, 0)
        handle.flush()
        illegal_requests(handle, structured)
        handle.shutdown()
    for flags in (0, 1, 2, 3):
        handle = nbd.NBD()
        handle.set_handshake_flags(flags)
        handle.set_export_name("disk")
        handle.connect_unix(path)
        equal(bytes(handle.pread(4, 0)), CONTENT[:4], f"handshake flags {flags}")
        handle.shutdown()


def libnbd_haggles(path):
    """Options one by one, several exports on one connection."""
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.set_full_info(True)
    handle.connect_unix(path)
    names = []
    handle.opt_list(lambda name, description: names.append(name) and 0)
    equal(names, ["disk", "disk@overlay.qcow2", "disk@base.qcow2"], "opt_list")
    with refused(errno.ENOENT, "an unknown export"):
        handle.set_export_name("nothing")
        handle.opt_info()
    handle.set_export_name("disk")
    handle.add_meta_context("qemu:allocation-depth")
    handle.opt_info()
    equal(handle.get_canonical_export_name(), "disk", "canonical name")
    handle.opt_go()
    found = []
    handle.block_status(SIZE, 0, lambda _name, _at, entries, _error: found.extend(entries) or 0)
    equal(found, [MIB, 2, MIB, 0, MIB, 1, MIB, 0, MIB, 1, 5 * MIB, 0], "depths")
    handle.shutdown()


def with_nbdcopy_and_qemu(work, path, image):
    copy = work.path("copy")
    run("nbdcopy", "--connections=4", "--requests=64", uri(path, "disk"), copy)
    with open(copy, "rb") as file:
        equal(file.read() == CONTENT, True, "nbdcopy")
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri(path, "disk"), image)
    told = run("qemu-nbd", "--list", "--socket", path)
    for part in ("export: 'disk'", f"size:  {SIZE}", "description: words", "readonly",
                 "min block: 1", "opt block: 4096", "max block: 33554432", "base:allocation",
                 "qemu:allocation-depth"):
        check(part in told, f"qemu-nbd --list says no '{part}': {told}")
    out = run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0x11 0 1M", "-c", "read -P 0 1M 1M",
              "-c", "read -P 0x22 2M 1M", "-c", "read -P 0 3M 7M", uri(path, "disk"))
    equal((out.count("read "), "fail" in out.lower()), (4, False), f"qemu-io: {out}")


def client(path, *options):
    """What nbd-client says; it ends when it finds no kernel device, after all of the handshake."""
    done = subprocess.run(["nbd-client", "-unix", path, *options], env={"PATH": CLIENT_PATH},
                          capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return done.stdout.decode()


def with_nbd_client(path, process):
    listed = client(path, "-l")
    for name in ("disk", "disk@overlay.qcow2", "disk@base.qcow2"):
        check(f"\n{name}: " in listed or f"\n{name}\n" in listed, f"nbd-client -l: {listed}")
    for options in ((), ("-g",), ("-block-size", "4096")):
        said = client(path, "/dev/nbd0", "-name", "disk", *options)
        check(f"size = {SIZE // MIB}MB" in said, f"nbd-client {options}: {said}")
    said = client(path, "/dev/nbd0", "-name", "nothing")
    check("size = " not in said, f"nbd-client on an export that is not there: {said}")
    for option in ("NBD_OPT_LIST", "NBD_OPT_GO", "NBD_OPT_EXPORT_NAME", "NBD_OPT_ABORT"):
        wait_for_log(process, option)


with Workspace() as workspace:
    top = make_seed_images(workspace)
    socket, process = workspace.serve_process("--verbose", "-x", "disk", "-D", "words", top)
    with_nbd_client(socket, process)
    with_nbdinfo(socket)
    with_libnbd(socket)
    libnbd_haggles(socket)
    with_nbdcopy_and_qemu(workspace, socket, top)
