#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# sandbox-holds-every-thread.py - the sandbox is in force in all threads, those of remote layers that
# are there before it too; it is told in the log; and "off" is off.
import json
import os
import subprocess

from remote_case import nbd_node, over
from sandbox_case import (CONFINED, HAS_LANDLOCK, NO_LANDLOCK, STRATA_NBD, Workspace, check, connect,
                          is_confined, main, make_image, read_text, run, status_of_threads, stop,
                          threads, wait_until_confined)

# linux/capability.h: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
KEPT = 1 << 1 | 1 << 2


def check_capabilities(server):
    """Of root's, those to read and to remove sockets; in every thread."""
    for key in "CapEff", "CapPrm", "CapInh":
        for thread, found in status_of_threads(server, key).items():
            check(int(found, 16) & ~KEPT == 0, f"{key} of thread {thread} is {found}")


def check_plain(work):
    image = make_image(work, "plain.qcow2")
    socket, server = work.serve_process("--verbose", image)
    wait_until_confined(server)
    handle = connect(socket)
    check(handle.pread(65536, 0) == b"\7" * 65536, "what is read in the sandbox is wrong")
    check(is_confined(server), f"threads of connections: {status_of_threads(server, 'Seccomp')}")
    check_capabilities(server)
    handle.shutdown()
    stop(server)
    log = read_text(server.log)
    landlock = "Landlock (version " if HAS_LANDLOCK else f"without Landlock: {NO_LANDLOCK}"
    for words in landlock, "seccomp keeps system calls":
        check(f"sandbox: {words}" in log, f"the log does not say '{words}': {log}")
    check("refused" not in log and ("without" in log) != HAS_LANDLOCK, f"something was refused: {log}")
    check(not os.path.exists(socket) and not os.path.exists(socket + ".pid"),
          "the socket and the pid file were not removed at the end")


def check_remote_layer(work):
    """The connection's thread is started when the graph is opened."""
    base, top = make_image(work, "base.qcow2"), work.path("top.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", top, "1M")
    words = over(top, {"driver": "raw", "file": nbd_node(work.serve(base))})
    socket, server = work.serve_process(CONFINED, "json:" + json.dumps(words))
    wait_until_confined(server)
    check(len(threads(server)) > 2, f"there is no thread of the remote layer: {threads(server)}")
    check(connect(socket).pread(65536, 0) == b"\7" * 65536, "the remote layer is not read")


def check_what_is_missing(work):
    """With "on" an error; else whoever did not ask is told."""
    image = make_image(work, "missing.qcow2")
    server = work.serve_process(image)[1]
    wait_until_confined(server)
    stop(server)
    missing = "" if HAS_LANDLOCK else f"strata-nbd: sandbox: without Landlock: {NO_LANDLOCK}\n"
    check(read_text(server.log) == missing, f"the log without -v: {read_text(server.log)}")
    if not HAS_LANDLOCK:
        done = subprocess.run([STRATA_NBD, "--sandbox=on", "-k", work.socket(), image],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 1 and done.stderr ==
              f"strata-nbd: --sandbox=on: Landlock cannot be had: {NO_LANDLOCK}; --sandbox=auto "
              "does with what there is\n", f"--sandbox=on: {done}")


def check_off(work):
    socket, server = work.serve_process("--verbose", "--sandbox=off", make_image(work, "off.qcow2"))
    connect(socket).shutdown()
    check(is_confined(server) is False, "confined, though it was to be off")
    stop(server)
    check("sandbox: off, as --sandbox says" in read_text(server.log), "the log does not say so")


def check_early_signal(work):
    """One that comes between the socket and the sandbox: the end is as clean as any."""
    image, socket = make_image(work, "early.qcow2"), work.socket()
    for _ in range(20):
        server = work.start(STRATA_NBD, "-k", socket, image)
        while not os.path.exists(socket):
            check(server.poll() is None, f"it ended: {read_text(server.log)}")
        check(stop(server) == 0, f"SIGTERM at the start: it ended with {server.returncode}")
        check(not os.path.exists(socket), "SIGTERM at the start: the socket is left behind")


def check_wrong_word(work):
    done = subprocess.run([STRATA_NBD, "--sandbox=perhaps", "-k", work.socket(), "x"],
                          capture_output=True, text=True, check=False)
    check(done.returncode == 1 and done.stderr == "strata-nbd: --sandbox takes auto, on or off, and "
          "not 'perhaps' (see strata-nbd --help)\n", f"a wrong word: {done}")


def test():
    with Workspace() as work:
        check_plain(work)
        check_remote_layer(work)
        check_what_is_missing(work)
        check_off(work)
        check_early_signal(work)
        check_wrong_word(work)


main(test)
