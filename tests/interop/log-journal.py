#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--log-format=journal, and no format with standard error that leads to the journal: entries with
fields, as the journal's own protocol has them. The journal's socket has a fixed place, so that one
of the test's is put in its stead by a library that is loaded first."""
import os
import re
import socket
import struct
import subprocess

from nbd_case import MIB, Workspace, check, equal, make_seed_images, run
from nbd_client import READ, Client
from functions import STRATA_NBD

NAME = "x\ny"
ELSEWHERE = r"""
#include <dlfcn.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char place[] = "/run/systemd/journal/socket";

int
access(const char *path, int mode)
{
    int (*next)(const char *, int) = dlsym(RTLD_NEXT, "access");

    return next(strcmp(path, place) == 0 ? getenv("FAKE_JOURNAL") : path, mode);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*next)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct sockaddr_un *given = message->msg_name;
    struct msghdr other = *message;

    if (given == NULL || given->sun_family != AF_UNIX || strcmp(given->sun_path, place) != 0)
        return next(fd, message, flags);
    strncpy(address.sun_path, getenv("FAKE_JOURNAL"), sizeof address.sun_path - 1);
    other.msg_name = &address;
    other.msg_namelen = sizeof address;
    return next(fd, &other, flags);
}
"""


def read_entry(data):
    """systemd, "Native journal protocol": KEY=VALUE, or KEY, length and value where it has lines."""
    entry, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        key, equals, value = data[at:end].partition(b"=")
        at = end + 1
        if not equals:
            length, = struct.unpack("<Q", data[at:at + 8])
            value = data[at + 8:at + 8 + length]
            equal(data[at + 8 + length:at + 9 + length], b"\n", "the end of a value")
            at += 9 + length
        check(re.fullmatch(rb"[A-Z][A-Z0-9_]*", key) and key.decode() not in entry, f"key {key}")
        entry[key.decode()] = value.decode()
    return entry


class Journal:
    def __init__(self, work):
        source, self.library = work.path("elsewhere.c"), work.path("elsewhere.so")
        with open(source, "w", encoding="ascii") as file:
            file.write("#define _GNU_SOURCE\n" + ELSEWHERE)
        run("gcc", "-shared", "-fPIC", "-o", self.library, source, "-ldl")
        self.path = work.path("journal")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def environment(self, **more):
        return dict(os.environ, LD_PRELOAD=self.library, FAKE_JOURNAL=self.path,
                    ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
                    **more)

    def take(self):
        entries = []
        while True:
            try:
                entries.append(read_entry(self.socket.recv(1 << 20)))
            except BlockingIOError:
                return entries


def serve(work, journal, *arguments, **environment):
    """strata-nbd for one client that fails once; returns what it wrote to standard error."""
    path = work.socket()
    log = work.path(f"errors.{path[-1]}")
    with open(log, "wb") as file:
        if "JOURNAL_STREAM" in environment:
            info = os.fstat(file.fileno())
            environment["JOURNAL_STREAM"] = f"{info.st_dev}:{info.st_ino}"
        process = subprocess.Popen(
            [STRATA_NBD, "-k", path, "--pid-file", path + ".pid", "-x", NAME, *arguments],
            stdin=subprocess.DEVNULL, stderr=file, env=journal.environment(**environment))
    process.log = log
    work.processes.append(process)
    while not (os.path.exists(path + ".pid") and os.path.getsize(path + ".pid")):
        check(process.poll() is None, "the server ended")
    client = Client(path).go(NAME)
    client.simple(READ, 10 * MIB, 4096)
    client.close()
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    with open(log, encoding="utf-8") as file:
        return file.read()


with Workspace() as work:
    image = make_seed_images(work)
    journal = Journal(work)
    equal(serve(work, journal, "--log-format=journal", "--verbose", image), "", "standard error")
    entries = journal.take()
    for entry in entries:
        equal(entry["SYSLOG_IDENTIFIER"], "strata-nbd", "identifier")
        check(entry["PRIORITY"] in ("5", "6"), f"priority of {entry}")
    failure, = [entry for entry in entries if entry.get("STRATA_EVENT") == "request-failed"]
    expected = {"PRIORITY": "5", "STRATA_CONNECTION": "1", "STRATA_EXPORT": NAME,
                "STRATA_COMMAND": "NBD_CMD_READ", "STRATA_OFFSET": str(10 * MIB),
                "STRATA_LENGTH": "4096", "STRATA_ERROR": "EINVAL"}
    equal({key: failure.get(key) for key in expected}, expected, "a failure")
    check(failure["STRATA_PEER"].startswith("unix uid "), f"the peer is {failure}")
    check(failure["MESSAGE"].startswith(f"connection 1 from {failure['STRATA_PEER']}: NBD_CMD_READ of "
                                        "4096 bytes"), "the sentence")
    closed, = [entry for entry in entries if entry.get("STRATA_EVENT") == "closed"]
    equal((closed["STRATA_REQUESTS"], closed["STRATA_FAILED"]), ("1", "1"), "totals")

    # As a service manager starts it: standard error is a stream of the journal's.
    equal(serve(work, journal, image, JOURNAL_STREAM=""), "", "standard error")
    entry, = journal.take()
    equal(entry["STRATA_EVENT"], "request-failed", "the entry")

    # What somebody else's stream is called does not count; nor does a wish for text.
    text = serve(work, journal, image, JOURNAL_STREAM_OF_ANOTHER="1:2")
    check(re.match("strata-nbd: connection 1 from unix uid [0-9]+ pid [0-9]+: NBD_CMD_READ", text), text)
    text = serve(work, journal, "--log-format=text", image, JOURNAL_STREAM="")
    check(re.match("strata-nbd: connection 1 from unix uid [0-9]+ pid [0-9]+: NBD_CMD_READ", text), text)
    equal(journal.take(), [], "entries")

    os.unlink(journal.path)
    done = subprocess.run([STRATA_NBD, "--log-format=journal", image], capture_output=True,
                          text=True, timeout=60, env=journal.environment())
    equal((done.returncode, done.stderr), (1, "strata-nbd: --log-format=journal: there is no "
          "journal on this system; take text or json\n"), "without a journal")
