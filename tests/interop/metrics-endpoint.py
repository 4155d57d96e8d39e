#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the endpoint answers, on a Unix socket and on TCP; what of it is left at the end; and that
those who ask too much, too slowly or nonsense keep neither NBD clients nor other askers waiting."""
import contextlib
import os
import re
import socket
import stat
import subprocess
import time

from metrics_case import CONTENT_TYPE, Metrics, get, request, scrape
from nbd_case import Workspace, check, equal, make_seed_images, run
from nbd_client import READ, Client
from functions import STRATA_NBD, read_text


def check_answers(address):
    status, headers, body = get(address)
    equal((status, headers["content-type"]), (200, CONTENT_TYPE), "GET /metrics")
    Metrics(body.decode())
    status, headers, nothing = get(address, method="HEAD")
    equal((status, headers["content-type"], nothing), (200, CONTENT_TYPE, b""), "HEAD /metrics")
    status, _, body = get(address, "/")
    equal(status, 200, "GET /")
    check(b"/metrics" in body, f"GET / says {body}")
    equal(get(address, "/metrics/../etc/passwd")[0], 404, "another path")
    equal(get(address, "/metrics?name=x")[0], 200, "with a query")
    for method in "POST", "PUT", "DELETE", "TRACE", "BREW":
        status, headers, _ = get(address, method=method)
        equal((status, headers["allow"]), (405, "get, head"), method)


def check_by_curl(path):
    """A program that was not written for this test."""
    done = subprocess.run(["curl", "--silent", "--show-error", "--fail", "--unix-socket", path,
                           "http://localhost/metrics"], capture_output=True, text=True, timeout=30)
    equal(done.returncode, 0, f"curl: {done.stderr}")
    equal(Metrics(done.stdout).value("connections_accepted_total"), 0, "what curl was told")


def check_refusals(work, image):
    """Nothing is served then, and a socket that is in use stays."""
    busy = work.path("busy")
    other = socket.socket(socket.AF_UNIX)
    other.bind(busy)
    other.listen()
    for address, reason in (("localhost:80", "unix:PATH"), ("unix:", "path"), ("vsock:9", "PORT$"),
                            ("9000", "perhaps you mean tcp:localhost:9000$"),
                            ("tcp:nowhere", "nowhere"), (f"unix:{busy}", busy),
                            ("", "needs unix:PATH or tcp:")):
        done = subprocess.run([STRATA_NBD, f"--metrics={address}", "--run", "echo ran", image],
                              capture_output=True, text=True, timeout=60)
        equal((done.returncode, done.stdout), (1, ""), f"--metrics={address}")
        check(re.match(rf"strata-nbd: --metrics.*{reason}", done.stderr), done.stderr)
    connect(busy).close()


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)  # before the timeout: with one, a full queue would be an error
    client.settimeout(30)
    return client


def say(client, text):
    with contextlib.suppress(BrokenPipeError):  # cut off already
        client.send(text)


def be_hostile(path):
    """Returns sockets that are to be kept open."""
    pests = []
    for i in range(1000):
        client = connect(path)
        if i % 3 == 1:
            say(client, b"GET /metrics HTTP/1.1\r\nHo")
        elif i % 3 == 2:
            say(client, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")  # and never reads
        pests.append(client)
    return pests


def send_nonsense(path):
    huge = b"GET /metrics HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"
    many = b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 100000 + b"\r\n"
    for text in huge, many, bytes(range(256)) * 64, b"GET " + b"/" * (1 << 18), b"\n" * 100000:
        try:
            answer = request(path, text)
            check(b" 200 OK" not in answer, f"{text[:40]} was answered: {answer[:100]}")
        except (BrokenPipeError, ConnectionResetError):
            pass


def memory(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1])


def wait_for_port(process):
    """The pid file is written before this line is."""
    deadline = time.monotonic() + 30
    while True:
        told = re.search(r"^metrics at http://127\.0\.0\.1:(\d+)/metrics\n", read_text(process.log),
                         flags=re.M)
        if told:
            return int(told[1])
        check(time.monotonic() < deadline, "no port was told")
        time.sleep(0.01)


with Workspace() as work:
    image = make_seed_images(work)
    check_refusals(work, image)
    address = work.path("metrics")
    path, process = work.serve_process(f"--metrics=unix:{address}", "--socket-mode=0640", image)
    equal(stat.S_IMODE(os.stat(address).st_mode), 0o640, "permissions of the socket")
    check_by_curl(address)
    check_answers(address)

    client = Client(path).go()
    before = memory(process)
    pests = be_hostile(address)
    equal(client.simple(READ, 0, 4), (0, b"\x11" * 4), "a read beside pests")
    equal(scrape(address).value("connections_open"), 1, "what somebody is told beside pests")
    send_nonsense(address)
    equal(Client(path).go().simple(READ, 0, 4), (0, b"\x11" * 4), "another client's read")
    scrape(address)
    grown = memory(process) - before
    sanitized = "wrappers" in os.listdir(os.environ.get("BUILDDIR", "."))
    check(grown < 16 * 1024 or sanitized, f"pests cost {grown} kB")
    for pest in pests:
        pest.close()
    client.close()
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    check(not os.path.exists(address), "the socket is still there")

    # TCP, on a port that the system chose and that standard output tells.
    _, process = work.serve_process("--metrics=tcp:127.0.0.1:0", image)
    check_answers(("127.0.0.1", wait_for_port(process)))

    # With a command, for as long as it runs; the command may be the one that asks.
    answer = run(STRATA_NBD, f"--metrics=unix:{address}", "--run",
                 f"curl --silent --fail --unix-socket {address} http://localhost/metrics", image)
    Metrics(answer)
    check(not os.path.exists(address), "the socket is still there after --run")

    # One client on standard input: metrics while it lasts.
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([STRATA_NBD, "--single", f"--metrics=unix:{address}", image],
                                   stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        work.processes.append(process)
    equal(ours.recv(8), b"NBDMAGIC", "the greeting")
    equal(scrape(address).value("connections_open"), 1, "connections of --single")
    ours.close()
    equal(process.wait(30), 0, "exit status of --single")
    check(not os.path.exists(address), "the socket is still there after --single")
