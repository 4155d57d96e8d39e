#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A header that lies behind a server is read again when a file here, its data file, has changed.
While the server is away that is an error for whoever needs the header, and for nobody else; when it
is back, all is as before."""
import os
import threading
import time

from nbd_case import Workspace, check, equal, run
from functions import connect, error_of_read, stop, wait_until

AWAY = 10  # seconds for which a request waits for the server


def serve_image(work, image, socket):
    if os.path.exists(socket):
        os.unlink(socket)
    pid_file = work.socket() + ".pid"
    return work.start_with_pid_file(pid_file, "qemu-nbd", "--read-only", "--persistent", "--shared=0",
                                    "--format=raw", f"--socket={socket}", f"--pid-file={pid_file}",
                                    image)


def graph(work, remote, delay):
    path = work.path
    return ('json:{"driver":"qcow2",'
            f'"file":{{"driver":"nbd","server":{{"type":"unix","path":"{remote}"}},'
            f'"reconnect-delay":{delay}}},'
            f'"data-file":{{"driver":"file","filename":"{path("data")}"}},'
            '"backing":{"driver":"raw","node-name":"base",'
            f'"file":{{"driver":"file","filename":"{path("base.raw")}"}}}}}}')


with Workspace() as work:
    os.chdir(work.path("."))
    run("qemu-img", "create", "-q", "-f", "raw", "base.raw", "4M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "base.raw",
        "-o", "data_file=data", "image.qcow2", "4M")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 1M", "image.qcow2")
    remote = work.path("remote")
    server = serve_image(work, "image.qcow2", remote)
    patient = work.serve(graph(work, remote, AWAY))
    hasty = work.serve(graph(work, remote, 0))
    for socket in (patient, hasty):
        equal(connect(socket).pread(4, 0), b"\7" * 4, "the image at first")

    stop(server)
    os.utime("data", (1, 1))
    wait_until(lambda: error_of_read(connect(hasty), 0) != 0, "there is an error", seconds=60)
    equal(error_of_read(connect(hasty), 0), 5, "errno while the server is away")
    waits = threading.Thread(target=lambda: error_of_read(connect(patient), 0))
    began = time.monotonic()
    waits.start()
    while waits.is_alive() and time.monotonic() - began < AWAY / 3:
        asked = time.monotonic()
        equal(error_of_read(connect(patient, export="@base"), 0), 0,
              "errno of what is wholly here")
        check(time.monotonic() - asked < AWAY / 2, "who needs no server waited for it")
        time.sleep(0.05)
    server = serve_image(work, "image.qcow2", remote)
    waits.join()
    for socket in (patient, hasty):
        wait_until(lambda: error_of_read(connect(socket), 0) == 0, "the image is read again",
                   seconds=60)
        equal(connect(socket).pread(4, 65536), b"\7" * 4, "the image when its server is back")
