#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""listen-socket-rights.py - --socket-mode and --socket-group: every Unix socket of the server has
them from the moment that it appears."""
import ctypes
import grp
import os
import stat
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from functions import STRATA_NBD, Workspace, check, copy_for_everybody, main, run, stop  # noqa: E402

IN_ATTRIB, IN_MOVED_TO, IN_CREATE = 0x4, 0x80, 0x100
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """What happens to the names in a directory, in order."""

    def __init__(self, directory):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        check(self.fd >= 0, "no inotify")
        mask = IN_ATTRIB | IN_MOVED_TO | IN_CREATE
        check(LIBC.inotify_add_watch(self.fd, directory.encode(), mask) >= 0, "no watch")

    def events(self, name):
        data, found = b"", []
        try:
            while True:
                data += os.read(self.fd, 1 << 16)
        except BlockingIOError:
            os.close(self.fd)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            if data[16:16 + length].rstrip(b"\0") == name.encode():
                found.append(mask)
            data = data[16 + length:]
        return found


def rights(path):
    status = os.stat(path)
    check(stat.S_ISSOCK(status.st_mode), f"{path} is no socket")
    return stat.S_IMODE(status.st_mode), status.st_gid


def served_rights(work, *words, umask=0o022):
    """The rights of -k's socket and of --listen's with these options."""
    folder = work.path("sockets")
    os.makedirs(folder, exist_ok=True)
    watch = Watch(folder)
    old = os.umask(umask)
    try:
        server = work.start_with_pid_file(
            work.path("pid"), STRATA_NBD, "-k", f"{folder}/k", f"--listen=unix:{folder}/l",
            "--pid-file", work.path("pid"), *words, work.path("disk.raw"))
    finally:
        os.umask(old)
    one, other = rights(f"{folder}/k"), rights(f"{folder}/l")
    check(one == other, f"{words}: the sockets have different rights: {one}, {other}")
    check(int(run("nbdinfo", "--size", f"nbd+unix:///?socket={folder}/l")) == 1 << 20, "size")
    events = watch.events("k")
    check(events == [IN_MOVED_TO], f"{words}: the socket did not appear as it stays: {events}")
    check(stop(server) == 0, "the server did not end well")
    check(os.listdir(folder) == [], "something is left behind")
    return one


def fails(words, pattern, server=(STRATA_NBD,), **options):
    done = subprocess.run([*server, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, **options)
    check(done.returncode == 1 and pattern in done.stderr,
          f"{words} ended with {done.returncode}: {done.stderr}")


def test():
    with Workspace() as work:
        image, mine = work.path("disk.raw"), os.getgid()
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        check(served_rights(work) == (0o755, mine), "the umask does not count")
        for mode in ("600", "0660", "777", "0"):
            if mode == "0" and os.getuid() != 0:
                continue  # its owner could not connect either
            check(served_rights(work, f"--socket-mode={mode}", umask=0)[0] == int(mode, 8), mode)
            check(served_rights(work, f"--socket-mode={mode}", umask=0o777)[0] == int(mode, 8), mode)
        group = grp.getgrgid(mine).gr_name
        other = grp.getgrnam("daemon").gr_gid if os.getuid() == 0 else mine
        check(served_rights(work, f"--socket-group={group}") == (0o660, mine), "group by name")
        check(served_rights(work, f"--socket-group={other}") == (0o660, other), "group by number")
        check(served_rights(work, f"--socket-group={other}", "--socket-mode=606") ==
              (0o606, other), "group and mode")

        fails(["--socket-mode=888", image], "--socket-mode takes permissions in octal")
        fails(["--socket-mode=1777", image], "from 0 to 777, not '1777'")
        fails(["--socket-mode=u+w", image], "not 'u+w'")
        fails(["--socket-group=no such group", image], "there is no group 'no such group'")
        fails(["--socket-group=4294967295", image], "there is no group '4294967295'")
        if os.getuid() == 0:  # of somebody who is not in that group
            folder = work.path("nobody")
            os.mkdir(folder)
            os.chown(folder, 65534, 65534)
            fails(["--socket-group=0", "-k", f"{folder}/s", image],
                  f"cannot give the socket '{folder}/s' to the group 0: Operation not permitted; "
                  "choose a group that this user is in", server=copy_for_everybody(work),
                  user=65534, group=65534, extra_groups=[])
            check(os.listdir(folder) == [], "something is left behind")


main(test)
