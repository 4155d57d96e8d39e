#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox-reads-what-comes-later.py - in the sandbox images are opened that were not there at the
# start, where the server was told that they would be; elsewhere it says that the sandbox keeps it
# from them, and how to go on. Configuration, snapshots and metrics work; the end is clean.
import os
import signal
import socket as sockets
import subprocess

import nbd

from limits_case import IS_SANITIZED
from sandbox_case import (CONFINED, HAS_LANDLOCK, Workspace, check, connect, is_confined, main,
                          make_image, read_text, run, stop, wait_for, wait_until_confined)

HINT = ("its permissions allow it, and the sandbox of this process does not; strata-nbd may read "
        "what it knew of when it was started: start it anew, where need be after naming the directory, "
        "by \"--allow DIR\" or in the configuration by \"allow = DIR\" in [DEFAULT]; "
        "\"--sandbox=off\" does without")


def check_bytes(socket, export):
    handle = connect(socket, export=export)
    check(handle.pread(65536, 0) == b"\7" * 65536, f"{export}: wrong bytes")
    handle.shutdown()


def is_served(socket, export):
    try:
        connect(socket, export=export).shutdown()
        return True
    except nbd.Error:
        return False


def check_directory(work):
    """A file that comes later, one whose header leads to a neighbour, a snapshot on demand."""
    folder = work.path("d")
    os.mkdir(folder)
    socket, server = work.serve_process(CONFINED, "--directory", folder)
    wait_until_confined(server)
    make_image(work, "d/base.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
        folder + "/top.qcow2")
    run("qemu-img", "snapshot", "-c", "first", folder + "/top.qcow2")
    check_bytes(socket, "base.qcow2")
    check_bytes(socket, "top.qcow2")
    check_bytes(socket, "top.qcow2@top.qcow2:first")
    stop(server)
    check("refused" not in read_text(server.log), f"refused: {read_text(server.log)}")
    check(not os.path.exists(socket), "the socket is left behind")


def write_config(path, **images):
    with open(path + ".new", "w", encoding="utf-8") as file:
        for name, image in images.items():
            file.write(f"[{name}]\nimage={image}\naccess=any\n")
    os.rename(path + ".new", path)


def check_config(work):
    """The file is another one each time, as editors have it."""
    for folder in "c", "known", "unknown":
        os.mkdir(work.path(folder))
    config = work.path("c/strata.conf")
    first, second = make_image(work, "known/a.qcow2"), make_image(work, "known/b.qcow2")
    far = make_image(work, "unknown/c.qcow2")
    write_config(config, a=first)
    socket, server = work.serve_process(CONFINED, "--config", config)
    wait_until_confined(server)
    check_bytes(socket, "a")

    write_config(config, a=first, b=second)
    server.send_signal(signal.SIGHUP)
    wait_for("the second export", lambda: is_served(socket, "b"))
    check_bytes(socket, "b")

    write_config(config, a=first, b=second, c=far)
    server.send_signal(signal.SIGHUP)
    if HAS_LANDLOCK:
        wait_for("the hint", lambda: HINT in read_text(server.log))
        check(f"cannot open '{far}': {HINT}" in read_text(server.log), "the hint names no file")
    else:
        wait_for("the third export", lambda: is_served(socket, "c"))
    check_bytes(socket, "b")
    check(is_confined(server), "threads that read again are free")
    stop(server)
    check("refused" not in read_text(server.log), f"refused: {read_text(server.log)}")

    socket, server = work.serve_process("--sandbox=off", "--config", config)
    check_bytes(socket, "c")


def can_look_into(process):
    """Whether others of the server's user can; root does without the capability to do so anyway."""
    anybody = () if os.getuid() else ("setpriv", "--bounding-set=-sys_ptrace",
                                      "--inh-caps=-sys_ptrace")
    return subprocess.run([*anybody, "readlink", f"/proc/{process.pid}/exe"], timeout=60,
                          stdout=subprocess.DEVNULL, check=False).returncode == 0


def check_hidden_memory(work):
    """Keys may come with the next configuration; where none can come, nothing is hidden. (Nor is it
    from the leak check, which looks into the process from another one.)"""
    write_config(work.path("exports.conf"), a=make_image(work, "hidden.qcow2"))
    for hides, arguments in ((True, ("--config", work.path("exports.conf"))),
                             (False, (work.path("hidden.qcow2"),))):
        _, server = work.serve_process("--sandbox=on", *arguments)
        wait_until_confined(server)
        check(can_look_into(server) == (not hides or IS_SANITIZED), f"{arguments}: others can look into the memory: "
              f"{can_look_into(server)}")


def check_links(work):
    """Rules are for where files are: an image on demand, the configuration, its secrets."""
    for name in ("named", "real", "conf", "conf.d", "keys"):
        os.mkdir(work.path(name))
    make_image(work, "real/a.qcow2")
    os.symlink(work.path("real/a.qcow2"), work.path("named/a.qcow2"))
    make_image(work, "named/b.qcow2")
    for name, text in (("conf.d/x.conf", "[a]\nimage=../named/a.qcow2\non-demand=on\n"
                                         "object=secret,id=s,file=../keys/key\n"
                                         "[b]\nimage=../named/b.qcow2\n"), ("keys/key", "k")):
        with open(work.path(name), "w", encoding="utf-8") as file:
            file.write(text)
    os.symlink(work.path("conf.d/x.conf"), work.path("conf/x.conf"))
    socket, server = work.serve_process("--sandbox=on", "--config", work.path("conf/x.conf"))
    wait_until_confined(server)
    check_bytes(socket, "a")
    server.send_signal(signal.SIGHUP)
    wait_for("the configuration to be read again",
             lambda: "what is served" in read_text(server.log))
    check("read again what is served" in read_text(server.log), read_text(server.log))
    check_bytes(socket, "b")


def ask_metrics(path):
    with sockets.socket(sockets.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer


def check_metrics(work, path):
    """The path is in a folder that has nothing else of the server's."""
    socket, server = work.serve_process(CONFINED, "--metrics", f"unix:{path}",
                                        make_image(work, "m.qcow2"))
    wait_until_confined(server)
    check_bytes(socket, "")
    answer = ask_metrics(path)
    check(answer.startswith(b"HTTP/1.1 200") and b"\nstrata_nbd_" in answer, f"metrics: {answer}")
    check(is_confined(server), "threads of the metrics are free")
    stop(server)
    check("refused" not in read_text(server.log), f"refused: {read_text(server.log)}")
    check(not os.path.exists(path), "the socket of the metrics is left behind")


def test():
    with Workspace() as work:
        check_directory(work)
        check_config(work)
        check_links(work)
        check_hidden_memory(work)
        with Workspace() as other:
            check_metrics(work, other.path("metrics"))


main(test)
