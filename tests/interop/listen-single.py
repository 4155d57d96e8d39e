#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""listen-single.py - --single: one client on standard input and output, be they a socket, pipes or
a socket pair for each direction. Nothing but the protocol is written there, and the server ends
with its client."""
import errno
import os
import pty
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from functions import STRATA_NBD, Workspace, check, main, nbd, read_all, run, stop  # noqa: E402

GREETING = b"NBDMAGICIHAVEOPT\x00\x03"
ABORT = b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\2" + b"\0\0\0\0"  # client flags, NBD_OPT_ABORT
ABORT_REPLY = b"\0\x03\xe8\x89\x04\x55\x65\xa9" + b"\0\0\0\2" + b"\0\0\0\1" + b"\0\0\0\0"


def server(*words):
    return [STRATA_NBD, "--single", *words]


def by_command(image, content):
    handle = nbd.NBD()
    handle.set_export_name("disk")
    handle.connect_command(server("-x", "disk", image))
    check(read_all(handle) == content, "bytes differ")
    handle.shutdown()


def connect(path):
    """A socket has its name before anybody listens to it."""
    deadline = time.monotonic() + 30
    while True:
        handle = nbd.NBD()
        try:
            handle.connect_unix(path)
            return handle
        except nbd.Error as error:
            check(error.errnum == errno.ECONNREFUSED and time.monotonic() < deadline, str(error))
        time.sleep(0.005)


def by_pipes(work, image, content):
    """socat is what stands between, as ssh would."""
    path = work.path("pipes")
    between = work.start("socat", f"UNIX-LISTEN:{path},fork",
                         f"EXEC:{STRATA_NBD} --single -v {image},pipes")
    deadline = time.monotonic() + 30
    while not os.path.exists(path):
        check(time.monotonic() < deadline, "socat does not listen")
        time.sleep(0.005)
    handles = []
    for _ in range(3):
        handles.append(connect(path))
    for handle in handles:
        check(read_all(handle) == content, "bytes differ behind pipes")
        handle.shutdown()
    stop(between)


def talk(stdin, stdout, process, sent=ABORT, expected=GREETING + ABORT_REPLY):
    """Byte for byte: what is written is the protocol and nothing else."""
    os.write(stdin, sent)
    found = b""
    while True:
        piece = os.read(stdout, 4096)
        if not piece:
            break
        found += piece
    check(found == expected, f"the client reads {found}")
    check(process.wait(30) == 0, f"ended with {process.returncode}")


def exact_bytes(image):
    process = subprocess.Popen(server("-v", image), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    talk(process.stdin.fileno(), process.stdout.fileno(), process)
    check(b"connection 1: closed" in process.stderr.read(), "no log on standard error")

    one, other = socket.socketpair()  # inetd gives standard error, too
    with one:
        process = subprocess.Popen(server("-v", image), stdin=other, stdout=other, stderr=other)
        other.close()
        talk(one.fileno(), one.fileno(), process)

    to_server, stdin = socket.socketpair()
    stdout, from_server = socket.socketpair()
    with to_server, from_server:
        process = subprocess.Popen(server(image), stdin=stdin, stdout=stdout)
        stdin.close()
        stdout.close()
        talk(to_server.fileno(), from_server.fileno(), process)

    one, other = socket.socketpair()  # one socket, and a log at standard output
    with one:
        process = subprocess.Popen(server(image), stdin=other, stdout=subprocess.PIPE)
        other.close()
        talk(one.fileno(), one.fileno(), process)
        check(process.stdout.read() == b"", "something was printed")


def non_blocking_pipes(image):
    """Whoever gave the pipes away may have made them so."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.set_blocking(in_read, False)
    os.set_blocking(out_write, False)
    process = subprocess.Popen(server(image), stdin=in_read, stdout=out_write)
    os.close(in_read)
    os.close(out_write)
    head = os.read(out_read, len(GREETING))
    check(head == GREETING, f"the client reads {head}")
    talk(in_write, out_read, process, expected=ABORT_REPLY)
    os.close(in_write)
    os.close(out_read)


def over_tcp(image):
    """As inetd with nowait: an accepted connection, non-blocking even."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            process = subprocess.Popen(server("-v", image), stdin=accepted, stdout=accepted,
                                       stderr=subprocess.PIPE, text=True)
            accepted.close()
            talk(client.fileno(), client.fileno(), process)


def the_client_goes(image):
    """Ends when the client has, without a word or in the middle of one, and not for want of time."""
    patient = server("--handshake-timeout=0", image)
    for sent in (b"", ABORT[:9]):
        done = subprocess.run(patient, input=sent, capture_output=True, timeout=60)
        check(done.returncode == 0 and done.stdout == GREETING,
              f"ended with {done.returncode}: {done.stdout} {done.stderr}")
    process = subprocess.Popen(patient, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.close()  # nobody reads any more
    process.stdin.close()
    check(process.wait(30) == 0, f"ended with {process.returncode}")


def it_is_stopped(image):
    process = subprocess.Popen(server(image), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(process.stdout.read(len(GREETING)) == GREETING, "no greeting")
    for place in (0, 1):  # whatever prints something
        check(os.readlink(f"/proc/{process.pid}/fd/{place}") == "/dev/null",
              f"the client is still at descriptor {place}")
    process.terminate()
    check(process.wait(30) == 0, f"ended with {process.returncode}")
    check(process.stdout.read() == b"", "more than a greeting")


def fails(pattern, *words, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([STRATA_NBD, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, **options)
    check(done.returncode == 1 and re.search(pattern, done.stderr),
          f"{words} ended with {done.returncode}: '{done.stderr}', expected '{pattern}'")
    check(done.stdout == "", f"{words} printed {done.stdout}")


def what_does_not_go(work, image):
    for words in (["--run", "true"], ["--socket", work.path("s")], ["--bind", "localhost"],
                  ["--port", "0"], ["--listen", "tcp:0"], ["--shared", "1"], ["--persistent"]):
        fails(f"--single serves the client on standard input: {words[0]} does not go with it",
              "--single", *words, image)
    fails("No such file", "--single", work.path("missing"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        fails("not connected; .* nowait", "--single", image, stdin=listener)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        fails("not a stream socket", "--single", image, stdin=one)
    controller, terminal = pty.openpty()
    fails("is a terminal", "--single", image, stdin=terminal)
    os.close(controller)
    os.close(terminal)


def test():
    with Workspace() as work:
        image, content = work.path("disk.raw"), os.urandom(3 << 20)
        with open(image, "wb") as file:
            file.write(content)
        by_command(image, content)
        by_pipes(work, image, content)
        exact_bytes(image)
        non_blocking_pipes(image)
        over_tcp(image)
        the_client_goes(image)
        it_is_stopped(image)
        what_does_not_go(work, image)
        check(run("nbdsh", "-c", f"h.connect_command(['{STRATA_NBD}', '--single', '{image}'])",
                  "-c", "print(h.get_size())").strip() == str(3 << 20), "nbdsh")


main(test)
