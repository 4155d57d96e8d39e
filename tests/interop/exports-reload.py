#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# exports-reload.py - on SIGHUP the configuration is read again: clients go on with what they have,
# what did not change stays open, what is wrong changes nothing.
import os
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from functions import (STRATA_NBD, Workspace, check, check_same_bytes, connect,  # noqa: E402
                       list_contexts, nbd, read_all, read_text, run)

SIZE = 8 << 20

# As under nohup: who has something to read again heeds SIGHUP all the same.
signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Server:
    def __init__(self, work):
        self.work = work
        self.socket, self.process = work.serve_process("--config", work.path("exports.conf"))

    def configure(self, text, expected):
        """Writes the configuration and has it read; the line that is logged then."""
        pathlib.Path(self.work.path("exports.conf")).write_text(text, encoding="utf-8")
        before = len(read_text(self.process.log))
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while True:
            told = read_text(self.process.log)[before:]
            if "read again what is served" in told or "stays as it was" in told:
                break
            check(self.process.poll() is None, f"SIGHUP ended the server: {told}")
            check(time.monotonic() < deadline, f"nothing was read again: {told}")
            time.sleep(0.005)
        for words in expected:
            check(words in told, f"no '{words}' in the log: {told}")
        return told

    def names(self):
        handle = nbd.NBD()
        handle.set_opt_mode(True)
        handle.connect_unix(self.socket)
        names = []
        handle.opt_list(lambda name, _: names.append(name) if "@" not in name else None)
        handle.opt_abort()
        return names

    def read(self, export):
        return bytes(connect(self.socket, export=export).pread(16, 0))

    def descriptors(self, path):
        folder = f"/proc/{self.process.pid}/fd"
        found = set()
        for fd in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{fd}") == path:
                    found.add(fd)
            except OSError:
                pass  # closed meanwhile
        return found


def write(path, byte, size=SIZE):
    pathlib.Path(path + ".new").write_bytes(bytes([byte]) * size)
    os.rename(path + ".new", path)


def check_reading_client(server, work, config):
    """A client that reads all the time, while its export is changed, replaced and taken away."""
    expected = read_all(connect(server.socket, export="a"))
    handle = connect(server.socket, export="a")
    stop, failures = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                check_same_bytes(expected, read_all(handle), "a client that was there before")
            except Exception as failure:  # pylint: disable=broad-except
                failures.append(failure)
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        write(work.path("a.raw"), 65)
        server.configure(config, ["read again what is served: 2 exports"])
        check(server.read("a") == b"A" * 16, "a file that was replaced is served as it was")
        server.configure("[b]\nimage = b.raw\n", ["read again what is served: 1 export\n"])
        server.configure("[DEFAULT]\nformat = raw\n", ["stays as it was: ", "there is no export in it"])
        check(server.names() == ["b"], f"there are {server.names()}")
        server.configure(config + "[c]\nimage = a.raw\n", ["3 exports"])
        check(server.names() == ["a", "b", "c"], f"there are {server.names()}")
    finally:
        stop.set()
        reader.join()
    check(not failures, f"the client failed: {failures}")
    check_same_bytes(expected, read_all(handle), "the client, at the end")
    handle.shutdown()


def check_kept(server, work, config):
    server.configure(config, ["2 exports"])
    before = server.descriptors(work.path("b.raw"))
    check(len(before) == 1, f"b.raw is open as {before}")
    server.configure(config + "description = another\n", ["2 exports"])
    check(server.descriptors(work.path("b.raw")) == before, "what did not change was opened anew")
    told = run("nbdinfo", f"nbd+unix:///b?socket={server.socket}")
    check("another" in told, f"the description is not the new one: {told}")
    server.configure(config + "access = user=root;group=root;user=%d\n" % os.getuid(), ["2 exports"])
    check(server.read("b") == b"b" * 16, "rules that name users do not admit us")
    server.configure(config.replace("b.raw\n", "b.raw\nprobe = on\n"), ["2 exports"])
    check(server.descriptors(work.path("b.raw")) != set(), "b is gone")


def check_mistakes(server, config):
    for text, words in (("[a]\nimage = b.raw\nimag = x\n", "[a]: there is no key 'imag'"),
                        ("[a]\nimage = b.raw\n[a]\nformat = raw\n", "line 3: [a] stands there twice"),
                        ("what?", "exports.conf: ")):
        server.configure(text, ["what is served stays as it was", words])
        check(server.names() == ["a", "b"] and server.read("a") == b"A" * 16,
              "a configuration with a mistake changed something")
    server.configure(config, ["read again"])


def check_image_that_fails(server, work, config):
    """The rules count at once, whatever becomes of the image."""
    os.rename(work.path("a.raw"), work.path("a.gone"))
    server.configure(config + "[new]\nimage = nowhere.raw\n",
                     ['the export "a"', "it goes on with the image that it had", "a.raw",
                      'the export "new"', "it is not served", "2 exports"])
    check(server.read("a") == b"A" * 16, "the export whose image is gone is gone, too")
    server.configure(config.replace("a.raw\n", f"a.raw\naccess = user={os.getuid() + 1}\n"),
                     ["it goes on"])
    check(server.names() == ["b"], f"a rule did not count for an image that fails: {server.names()}")
    os.rename(work.path("a.gone"), work.path("a.raw"))
    write(work.path("a.raw"), 97)
    told = server.configure(config, ["2 exports"])
    check("goes on" not in told, f"the image is there again, but: {told}")
    check(server.read("a") == b"a" * 16, "the image that is there again is not opened")


def check_no_widening(server, work, config):
    """The old image is shown neither to more than its rules let see it, nor more of it."""
    run("qemu-img", "create", "-q", "-f", "qcow2", work.path("secret.qcow2"), "1M")
    run("qemu-img", "bitmap", "--add", work.path("secret.qcow2"), "hidden")
    run("qemu-img", "bitmap", "--add", work.path("secret.qcow2"), "told")
    locked, hidden = f"access = user={os.getuid() + 1}\n", "layers = off\nbitmaps = told\n"
    server.configure(config + "[p]\nimage = secret.qcow2\n" + locked, ["3 exports"])
    for rules in ("", "access = any\n"):
        server.configure(config + "[p]\nimage = nowhere.raw\n" + rules, ['"p"', "it goes on"])
        check("p" not in server.names(), "an image that does not open frees the one before it")
    server.configure(config + "[p]\nimage = secret.qcow2\n" + hidden, ["3 exports"])
    server.configure(config + "[p]\nimage = nowhere.raw\n", ['"p"', "it goes on"])
    told = list_contexts(server.socket, "", "p") + list_contexts(server.socket, "qemu:", "p")
    check("qemu:dirty-bitmap:told" in told and "qemu:dirty-bitmap:hidden" not in told and
          "qemu:allocation-depth" not in told, f"of the old image, {told} are told")
    server.configure(config + "[p]\nimage = secret.qcow2\n", ["3 exports"])
    check("qemu:dirty-bitmap:hidden" in list_contexts(server.socket, "qemu:", "p"),
          "an image that is described as before is still hidden")
    server.configure(config, ["2 exports"])


def check_rebased(server, work):
    """An overlay that has another backing file now is opened anew, although it is the same file."""
    over = work.path("over.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.raw", "-F", "raw", over)
    config = "[over]\nimage = over.qcow2\n"
    server.configure(config, ["read again what is served: 1 export\n"])
    check(server.read("over") == b"a" * 16, "the overlay does not show its backing file")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "b.raw", "-F", "raw", over + ".new")
    with open(over, "r+b") as file:
        file.write(pathlib.Path(over + ".new").read_bytes())
    server.configure(config, ["read again what is served: 1 export\n"])
    check(server.read("over") == b"b" * 16, "the overlay still shows the backing file it had")


def check_lent_descriptor(work):
    """It is read and closed once, for the image and the directory; later its number is another's."""
    os.mkdir(work.path("dir"))
    write(work.path("dir/file.raw"), 102)
    pathlib.Path(work.path("key")).write_text("letmein", encoding="utf-8")
    pid_file, socket = work.path("lent.pid"), work.path("lent")
    command = [STRATA_NBD, "-k", socket, "--pid-file", pid_file, "--object", "secret,id=s,fd=9",
               "--directory", work.path("dir"), "-f", "raw", work.path("b.raw")]
    process = work.start_with_pid_file(pid_file, "sh", "-c", 'exec 9<"$0"; exec "$@"',
                                       work.path("key"), *command)
    check(not [fd for fd in os.listdir(f"/proc/{process.pid}/fd")
               if os.readlink(f"/proc/{process.pid}/fd/{fd}") == work.path("key")],
          "the descriptor is still open")
    files = [connect(socket, export="file.raw@file.raw"), connect(socket)]
    while not os.path.exists(f"/proc/{process.pid}/fd/9"):
        files.append(connect(socket))
    was = os.readlink(f"/proc/{process.pid}/fd/9")
    process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while "read again what is served" not in read_text(process.log):
        check("stays as it was" not in read_text(process.log), read_text(process.log))
        check(time.monotonic() < deadline, "nothing was read again")
        time.sleep(0.005)
    check(os.readlink(f"/proc/{process.pid}/fd/9") == was, "a descriptor of the server was closed")
    check(bytes(files[0].pread(16, 0)) == b"f" * 16, "the file of the directory is gone")
    check(bytes(connect(socket).pread(16, 0)) == b"b" * 16, "the image is gone")


with Workspace() as work:
    write(work.path("a.raw"), 1)
    write(work.path("b.raw"), 98)
    config = "[a]\nimage = a.raw\n[b]\nimage = b.raw\n"
    pathlib.Path(work.path("exports.conf")).write_text(config, encoding="utf-8")
    server = Server(work)
    check_reading_client(server, work, config)
    check_kept(server, work, config)
    check_mistakes(server, config)
    check_image_that_fails(server, work, config)
    check_no_widening(server, work, config)
    check_rebased(server, work)

    check_lent_descriptor(work)

    # Without anything that could be read again, SIGHUP ends the server, unless it began with that
    # ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _, process = work.serve_process("-f", "raw", work.path("b.raw"))
    process.send_signal(signal.SIGHUP)
    check(process.wait(30) == 0, "SIGHUP did not end a server of one image")
