#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""listen-activation.py - sockets that systemd, libnbd and others hand over (LISTEN_FDS): any number
and kind is served, nobody else inherits them, and what cannot be served is an error."""
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/..")
from functions import STRATA_NBD, Workspace, check, main, nbd, read_text, run, stop  # noqa: E402


def command(sockets, *words, pid="$$", names=None, count=None):
    """A shell that becomes the server, which finds the sockets from descriptor 3 up."""
    moves = " ".join(f"{30 + i}<&{one.fileno()}" for i, one in enumerate(sockets))
    places = " ".join(f"{3 + i}<&{30 + i} {30 + i}<&-" for i in range(len(sockets)))
    named = "" if names is None else f"LISTEN_FDNAMES={names} "
    count = len(sockets) if count is None else count
    script = (f"exec {moves}; exec {places}; "
              f"{named}LISTEN_FDS={count} LISTEN_PID={pid} exec \"$0\" \"$@\"")
    return ["/bin/bash", "-c", script, STRATA_NBD, *words]


def start(work, sockets, *words, **how):
    log = work.path(f"log.{len(work.processes)}")
    with open(log, "wb") as out:
        process = subprocess.Popen(command(sockets, *words, **how), stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT,
                                   pass_fds=[one.fileno() for one in sockets])
    process.log = log
    work.processes.append(process)
    return process


def fails(sockets, words, pattern, **how):
    done = subprocess.run(command(sockets, *words, **how), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60,
                          pass_fds=[one.fileno() for one in sockets])
    check(done.returncode == 1 and re.search(pattern, done.stderr),
          f"ended with {done.returncode}: '{done.stderr}', expected '{pattern}'")


def tcp_listener(family=socket.AF_INET, host="127.0.0.1"):
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen(5)
    return listener


def unix_listener(name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(5)
    return listener


def size_at(uri):
    """A client may connect at once: the socket is there before the server is."""
    return int(run("nbdinfo", "--size", uri))


def wait_for(process, words):
    deadline = time.monotonic() + 30
    while words not in read_text(process.log):
        check(process.poll() is None and time.monotonic() < deadline,
              f"no '{words}' in: {read_text(process.log)}")
        time.sleep(0.005)


def every_kind_is_served(work, image):
    path = work.path("handed")
    sockets = [unix_listener(path), tcp_listener()]
    uris = [f"nbd+unix:///?socket={path}", f"nbd://127.0.0.1:{sockets[1].getsockname()[1]}/"]
    if os.path.exists("/proc/net/if_inet6"):
        sockets.append(tcp_listener(socket.AF_INET6, "::1"))
        uris.append(f"nbd://[::1]:{sockets[2].getsockname()[1]}/")
    server = start(work, sockets, "-v", image, names=":".join("abc"[:len(sockets)]))
    for one in sockets:
        one.close()
    for uri in uris:
        check(size_at(uri) == 1 << 20, uri)
    wait_for(server, f"listening on {uris[-1]}\n")  # clients are served before
    told = re.findall(r"listening on (.*)", read_text(server.log))
    check(told == uris, f"the log tells {told}")  # and no TCP port 10809 besides
    check(stop(server) == 0, "the server did not end well")
    check(os.path.exists(path), "the socket of somebody else was removed")
    os.unlink(path)


def an_abstract_socket(work, image):
    name = f"strata-{os.getpid()}"
    with unix_listener("\0" + name) as listener:
        server = start(work, [listener], "-v", image)
    handle = nbd.NBD()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)
        handle.connect_socket(os.dup(client.fileno()))
    check(handle.get_size() == 1 << 20, "size")
    handle.shutdown()
    check(stop(server) == 0, "the server did not end well")


def others_besides(work, image):
    path = work.path("handed")
    with unix_listener(path) as listener:
        server = start(work, [listener], "-v", f"--listen=unix:{work.path('own')}", image)
    wait_for(server, "own")
    for name in ("handed", "own"):
        check(size_at(f"nbd+unix:///?socket={work.path(name)}") == 1 << 20, name)
    check(stop(server) == 0, "the server did not end well")
    check(os.path.exists(path) and not os.path.exists(work.path("own")),
          "the server removes its own socket and no other")
    os.unlink(path)


def run_inherits_nothing(work, image):
    path = work.path("handed")
    script = 'env | grep ^LISTEN; ls -l /proc/self/fd | grep -c socket:; nbdinfo --size "$uri"; ' \
             'echo "$unixsocket"'
    with unix_listener(path) as listener:
        server = start(work, [listener], "--run", script, image)
    check(server.wait(30) == 0, read_text(server.log))
    check(read_text(server.log) == f"0\n{1 << 20}\n{path}\n", f"--run: {read_text(server.log)}")
    os.unlink(path)


def what_cannot_be_served(work, image):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        fails([datagrams], [image], "descriptor 3 is not a stream socket")
    with open(image, "rb") as file:
        fails([file], [image], "descriptor 3 is not a socket")
    with socket.socket() as idle:
        fails([idle], [image], "descriptor 3 does not listen")
    with tcp_listener() as good:
        one, other = socket.socketpair()
        with one, other:
            fails([good, one], [image], "descriptor 4 does not listen; .* needs --single")
        fails([good], ["--single", image], "--single: the socket of the client is not connected")
        fails([good, good], ["--single", image], "one client, but 2 sockets were handed over")
        fails([good], [image], "the sockets of LISTEN_FDS cannot be taken", names="a:b")
        fails([good], [image], "the sockets of LISTEN_FDS cannot be taken", count=7)


def not_for_this_process(work, image):
    """LISTEN_PID names somebody else: the variables were inherited by mistake."""
    with tcp_listener() as listener:
        line = run(*command([listener], "--run", "echo $uri $LISTEN_FDS", image, pid=1),
                   pass_fds=[listener.fileno()])
    check(re.fullmatch(r"nbd\+unix:///\?socket=\S+\n", line), f"--run says {line}")


def libnbd_and_systemd_do_it(work, image):
    handle = nbd.NBD()
    handle.connect_systemd_socket_activation([STRATA_NBD, image])
    check(handle.get_size() == 1 << 20 and handle.pread(512, 0) == bytes(512), "libnbd")
    handle.shutdown()
    check(run("nbdinfo", "--size", "--", "[", STRATA_NBD, image, "]").strip() == str(1 << 20), "[]")

    path = work.path("systemd")
    server = work.start("systemd-socket-activate", "--listen", path, STRATA_NBD, image)
    wait_for(server, "Listening on")
    check(size_at(f"nbd+unix:///?socket={path}") == 1 << 20, "systemd-socket-activate")
    stop(server)


def systemd_accepts(work, image):
    """Accept=yes: a server for each connection, which finds it as it finds listeners."""
    path = work.path("accept")
    server = work.start("systemd-socket-activate", "--accept", "--listen", path, STRATA_NBD,
                        "--single", image)
    wait_for(server, "Listening on")
    for _ in range(2):
        check(size_at(f"nbd+unix:///?socket={path}") == 1 << 20, "--accept")
    stop(server)


def test():
    with Workspace() as work:
        image = work.path("disk.raw")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        every_kind_is_served(work, image)
        an_abstract_socket(work, image)
        others_besides(work, image)
        run_inherits_nothing(work, image)
        what_cannot_be_served(work, image)
        not_for_this_process(work, image)
        libnbd_and_systemd_do_it(work, image)
        systemd_accepts(work, image)


main(test)
