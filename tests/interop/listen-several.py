#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""listen-several.py - one server on Unix sockets, IPv4, IPv6 and vsock at once: it tells them all,
each serves, and where one of them cannot be had nobody is served and nothing is left behind."""
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from functions import STRATA_NBD, Workspace, check, main, nbd, read_text, run, stop  # noqa: E402


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def has_vsock():
    try:
        with socket.socket(socket.AF_VSOCK) as probe:
            probe.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        return True
    except OSError:
        return False


def wait_for_lines(process, count):
    deadline = time.monotonic() + 30
    while True:
        uris = re.findall(r"^listening on (.*)$", read_text(process.log), re.M)
        if len(uris) == count:
            return uris
        check(process.poll() is None and time.monotonic() < deadline,
              f"{count} URIs expected, the server says: {read_text(process.log)}")
        time.sleep(0.005)


def size_at(uri):
    return int(run("nbdinfo", "--size", uri))


def all_are_served(work, image):
    words = ["--socket", work.path("k"), f"--listen=unix:{work.path('a,b')}",
             "--listen=tcp:127.0.0.1:0", "--listen=tcp:localhost:0"]
    patterns = [re.escape(f"nbd+unix:///disk?socket={work.path('k')}"),
                re.escape(f"nbd+unix:///disk?socket={work.path('a')}%2Cb"),
                r"nbd://127\.0\.0\.1:\d+/disk", r"nbd://localhost:\d+/disk"]
    if has_ipv6():
        words.append("--listen=tcp:[::1]:0")
        patterns.append(r"nbd://\[::1\]:\d+/disk")
    if has_vsock():
        words.append("--listen=vsock:0")
        patterns.append(r"nbd\+vsock://1:\d+/disk")
    server = work.start(STRATA_NBD, "-x", "disk", *words, image)
    uris = wait_for_lines(server, len(patterns))
    for pattern, uri in zip(patterns, uris):
        check(re.fullmatch(pattern, uri), f"{uri} does not match {pattern}")
        if "vsock" not in uri:  # there may be no way from this machine to itself
            check(size_at(uri) == 1 << 20, f"not served: {uri}")
    check(stop(server) == 0, "the server did not end well")
    check(not os.path.exists(work.path("k")) and not os.path.exists(work.path("a,b")),
          "sockets are left behind")


def fails(work, words, pattern):
    done = subprocess.run([STRATA_NBD, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    check(done.returncode == 1, f"{words} ended with {done.returncode}: {done.stderr}")
    check(re.search(pattern, done.stderr), f"{words} says '{done.stderr}', not '{pattern}'")
    check(done.stdout == "", f"{words} prints '{done.stdout}'")


def one_that_fails_ends_it(work, image):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(1)
        port = busy.getsockname()[1]
        fails(work, [f"--listen=unix:{work.path('u')}", f"--listen=tcp:127.0.0.1:{port}",
                     "--run", f"touch {work.path('ran')}", image],
              f"cannot listen on 127.0.0.1, port {port}: Address already in use")
    check(not os.path.exists(work.path("u")), "the first socket is left behind")
    check(not os.path.exists(work.path("ran")), "--run was begun")
    fails(work, [f"--listen=unix:{work.path('u')}", f"--listen=unix:{work.path('u')}", image],
          "the socket is busy")
    check(not os.path.exists(work.path("u")), "the socket is left behind")


def wrong_addresses(work, image):
    fails(work, ["--listen=tcp:localhost", image], "--listen: 'tcp:localhost' names no port.*--help")
    fails(work, ["--listen=layers", image], r"--listen: 'layers' is neither unix:PATH nor tcp:\[")
    fails(work, ["--listen=", image], "--listen needs an address")
    fails(work, ["--listen=tcp::nosuchservice", image], "'nosuchservice' is no port")
    fails(work, ["--listen=tcp:nosuch.invalid:1", image], "cannot listen on nosuch.invalid, port 1")
    fails(work, ["--listen=tcp:192.0.2.1:0", image], "choose an address that this machine has")
    fails(work, [f"--listen=unix:{work.path('x' * 120)}", image], "107 are the system's limit")
    if has_vsock():
        fails(work, ["--listen=vsock:4294967000:1", image],
              r"cannot listen on vsock, CID 4294967000, port 1: .*; choose a CID")
    else:
        fails(work, ["--listen=vsock:1", image], "this system has no vsock")


def run_has_the_first(work, image):
    line = run(STRATA_NBD, f"--listen=unix:{work.path('r')}", "--listen=tcp:127.0.0.1:0", "-x", "a",
               "--run", 'echo "$uri $unixsocket"; nbdinfo --size "$uri"', image)
    path = work.path("r")
    check(line == f"nbd+unix:///a?socket={path} {path}\n{1 << 20}\n", f"--run says {line}")
    line = run(STRATA_NBD, "--listen=tcp:127.0.0.1:0", f"--listen=unix:{work.path('r')}",
               "--run", 'echo "$uri $unixsocket"', image)
    check(re.fullmatch(rf"nbd://127\.0\.0\.1:\d+/ {path}\n", line), f"--run says {line}")


def bind_and_port_go_first(work, image):
    server = work.start(STRATA_NBD, f"--listen=unix:{work.path('u')}", "-b", "127.0.0.1", "-p", "0",
                        image)
    uris = wait_for_lines(server, 2)
    check(uris[0].startswith("nbd://127.0.0.1:") and size_at(uris[0]) == 1 << 20, f"told: {uris}")
    check(size_at(uris[1]) == 1 << 20, f"told: {uris}")
    check(stop(server) == 0, "the server did not end well")


def connects_beside_others(work, image):
    """Clients of all entrances are served side by side."""
    path = work.path("c")
    server = work.start(STRATA_NBD, f"--listen=unix:{path}", "--listen=tcp:127.0.0.1:0", image)
    uris = wait_for_lines(server, 2)
    handles = []
    for uri in uris * 3:
        handle = nbd.NBD()
        handle.connect_uri(uri)
        handles.append(handle)
    for handle in handles:
        check(handle.pread(512, 0) == bytes(512), "wrong bytes")
    for handle in handles:
        handle.shutdown()
    check(stop(server) == 0, "the server did not end well")


def test():
    with Workspace() as work:
        image = work.path("disk.raw")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        all_are_served(work, image)
        one_that_fails_ends_it(work, image)
        wrong_addresses(work, image)
        bind_and_port_go_first(work, image)
        run_has_the_first(work, image)
        connects_beside_others(work, image)


main(test)
