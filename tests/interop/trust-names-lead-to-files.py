# SPDX-License-Identifier: LGPL-2.1-or-later
# trust-names-lead-to-files.py - whatever else a name leads to, a FIFO, a socket, a device, a folder,
# something that a process has open: it is refused at once, in a header and from the user, as backing
# file and as data file, directly and through a link; and what waits at a FIFO's other end stays
# asleep.
import os
import socket
import stat

from trust_case import (Workspace, check_refused, main, write, write_data_file_image,
                        write_overlay)


def make_things(work):
    """name: how the message calls it"""
    os.mkfifo(work.path("fifo"))
    os.mkdir(work.path("folder"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(work.path("socket"))
    listener.close()
    things = {"fifo": "a FIFO", "folder": "a directory", "socket": "a socket"}
    if os.geteuid() == 0:
        os.mknod(work.path("device"), stat.S_IFCHR | 0o600, os.makedev(1, 5))
        things["device"] = "a character device"
    for name in list(things):
        os.symlink(name, work.path(name + "-link"))
        things[name + "-link"] = things[name]
    return things


def check_named_everywhere(work, name, kind):
    check_refused(work, [work.path(name)], name, kind)
    check_refused(work, ["--format", "raw", work.path(name)], name, kind)
    check_refused(work, [write_overlay(work.path("overlay.qcow2"), name)], name, kind)
    check_refused(work, [write_data_file_image(work.path("data.qcow2"), name)], name, kind)
    check_refused(work, ["--image-opts", "driver=qcow2,file.filename=" + work.path("overlay.qcow2") +
                         ",backing.driver=raw,backing.file.filename=" + work.path(name)], name, kind)


def check_fifo_with_writer(work):
    """Somebody waits for a reader, and is not to find one: a blocking open of the other end would
    return."""
    reader = os.open(work.path("fifo"), os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(work.path("fifo"), os.O_WRONLY | os.O_NONBLOCK)
    os.close(reader)
    os.set_blocking(writer, True)
    check_named_everywhere(work, "fifo", "a FIFO")
    os.close(writer)


def check_open_things(work):
    """What a descriptor leads to has no place in a header. strata's standard input is /dev/null."""
    for name in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/proc/self/exe", "/proc/self/root",
                 "/dev/zero", "/dev/tty"):
        check_refused(work, [write_overlay(work.path("overlay.qcow2"), name)], name, "--allow DIR")
        check_refused(work, [write_data_file_image(work.path("data.qcow2"), name)], name,
                      "--allow DIR")
    for name in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        check_refused(work, [name], name, "a character device")
    check_refused(work, ["--allow", "/", write_overlay(work.path("overlay.qcow2"), "/dev/zero")],
                  "/dev/zero", "a character device")
    check_refused(work, ["--allow", "/", write_overlay(work.path("overlay.qcow2"),
                                                       "/proc/self/fd/0")], "symbolic links")


def test():
    with Workspace() as work:
        write(work.path("file"), b"\0" * 65536)
        for name, kind in make_things(work).items():
            check_named_everywhere(work, name, kind)
        check_fifo_with_writer(work)
        check_open_things(work)


main(test)
