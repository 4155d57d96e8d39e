#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--log-format=json: each line an object with documented keys, whatever a client or a file name
brings in; all of a connection's life; at most 50 failures in a while; and why the server ends."""
import json
import re
import subprocess

from metrics_case import scrape
from nbd_case import MIB, Workspace, check, equal, make_seed_images, run
from nbd_client import OPT_GO, READ, Client
from functions import STRATA_NBD

EVIL = "e\x1b[31m\n\u009b\u2028\"\\\U0001f600"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
LEVELS = ("error", "warning", "notice", "info", "debug")
KEYS = {"time": str, "level": str, "message": str, "event": str, "connection": int, "peer": str,
        "export": str, "tls_subject": str, "psk_identity": str, "command": str, "offset": int,
        "length": int, "error": str, "requests": int, "failed": int, "bytes_received": int,
        "bytes_sent": int, "duration": float}


def read_log(path):
    """The events of a log of which every line is checked."""
    with open(path, "rb") as file:
        text = file.read()
    check(text.endswith(b"\n"), "the last line has no end")
    events = []
    for line in text.decode("utf-8").splitlines():  # splits at more than '\n', which is not there
        check(all(c.isprintable() for c in line), f"a line that does more than be read: {line!r}")
        event = json.loads(line)
        check(list(event)[:3] == ["time", "level", "message"], f"keys of {line}")
        check(TIME.fullmatch(event["time"]), f"time of {line}")
        check(event["level"] in LEVELS, f"level of {line}")
        for key, value in event.items():
            check(type(value) is KEYS.get(key), f"{key} of {line}")
        events.append(event)
    return events


def pick(events, name, **fields):
    return [event for event in events if event.get("event") == name and
            fields.items() <= event.items()]


def fail_often(path):
    client = Client(path).go(EVIL)
    for _ in range(80):
        client.simple(READ, 10 * MIB, 4096)
    client.close()


def check_life(events):
    peers = {event["peer"] for event in pick(events, "accepted", connection=1)}
    equal(len(peers), 1, "accepted")
    check(re.fullmatch(r"unix uid \d+ pid \d+", peers.pop()), "the peer is another")
    equal(len(pick(events, "serves", connection=1, export=EVIL)), 1, "serves")
    closed, = pick(events, "closed", connection=1)
    equal((closed["requests"], closed["failed"], closed["bytes_received"], closed["bytes_sent"]),
          (80, 80, 80 * 28, 80 * 16), "totals")
    check(0 < closed["duration"] < 600, f"it took {closed['duration']} s")
    equal(closed["message"], "connection 1: closed", "the sentence")


def check_failures(events):
    failures = pick(events, "request-failed")
    equal(len(failures), 50, "failures in the log")
    failure = failures[0]
    expected = {"level": "notice", "connection": 1, "command": "NBD_CMD_READ",
                "offset": 10 * MIB, "length": 4096, "error": "EINVAL", "export": EVIL}
    equal({key: failure[key] for key in expected}, expected, "a failure")
    check("NBD_CMD_READ of 4096 bytes at 0xa00000: " in failure["message"], failure["message"])
    missed, = pick(events, "log-limit")
    equal(missed["message"], "31 more failures were not logged", "the limit")


def check_end(*arguments):
    """Why it could not begin is an object as well."""
    done = subprocess.run([STRATA_NBD, *arguments], capture_output=True, text=True, timeout=60)
    equal(done.returncode, 1, "exit status")
    line, = done.stderr.splitlines()
    event = json.loads(line)
    equal(event["level"], "error", "level")
    return event["message"]


with Workspace() as work:
    image = make_seed_images(work)
    evil_image = work.path("im\nage\x1b[31m.qcow2")
    run("cp", image, evil_image)
    metrics = work.path("metrics")
    path, process = work.serve_process("--log-format=json", "--verbose", "-x", EVIL,
                                       f"--metrics=unix:{metrics}", evil_image)
    fail_often(path)
    suppressed = scrape(metrics).value("log_lines_suppressed_total")
    client = Client(path)
    client.option(OPT_GO, client.info_data("\x1b[31m"))
    client.close()
    process.terminate()
    equal(process.wait(30), 0, "exit status")
    events = read_log(process.log)
    check_life(events)
    check_failures(events)
    equal(suppressed, 30, "what the metrics say was not logged")
    for name in "listening", "metrics", "stopping":
        equal(len(pick(events, name)), 1, name)

    # The library's messages are in the same form; and without --verbose there is nothing else.
    quiet, process = work.serve_process("--log-format=json", image)
    client = Client(quiet)
    client.option(OPT_GO, client.info_data("\x1b[31m"))
    client.go().close()
    run("touch", "-d", "@1", image)
    client = Client(quiet).go()
    client.simple(READ, 0, 4096)
    process.terminate()
    process.wait(30)
    unknown, event = read_log(process.log)
    equal((unknown["level"], unknown["event"], unknown["export"]), ("notice", "failure", "\x1b[31m"),
          "what is told of an unknown export")
    check(unknown["peer"] in unknown["message"] and "there is no export" in unknown["message"],
          unknown["message"])
    equal(event["level"], "warning", "level of what the library says")
    check("changed while it is open" in event["message"], event["message"])

    message = check_end("--log-format=json", work.path("no\nsuch\x1b"))
    check(r"no\nsuch\u{1b}" in message or r"no\nsuch\x1b" in message, message)
    text = subprocess.run([STRATA_NBD, "--log-format=xml", image], capture_output=True, text=True,
                          timeout=60).stderr
    check(text.startswith("strata-nbd: --log-format takes text, json or journal, not 'xml'"), text)
