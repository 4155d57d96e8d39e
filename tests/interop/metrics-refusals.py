#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that are sent away are counted by the reason, and in the log by what they did: too many,
too many of one peer, too slow, without TLS where there has to be, and kept out by access rules."""
import json

from limits_case import wait_until
from metrics_case import scrape, scrape_until
from nbd_case import Workspace, check, equal, make_seed_images, run
from nbd_client import OPT_ABORT, OPT_GO, OPT_STARTTLS, Client, Closed


def is_turned_away(path):
    try:
        client = Client(path, flags=None)
    except Closed:
        return True
    client.close()
    return False


def refused(metrics):
    return {reason: n for reason, n in metrics.all("connections_refused_total", "reason").items()
            if n}


def events(process, wanted, count):
    """Those that are wanted, once there are so many: a thread of its own writes the log."""
    found = []

    def are_there():
        with open(process.log, encoding="utf-8") as file:
            found[:] = [event for event in map(json.loads, file) if wanted(event)]
        return len(found) >= count

    wait_until(are_there, f"{count} events in the log")
    return found


def named(name):
    return lambda event: event.get("event") == name


def serve(work, *arguments):
    address = work.socket()
    path, process = work.serve_process("--log-format=json", f"--metrics=unix:{address}",
                                       *arguments)
    return path, address, process


def crowd(work, image):
    for limit, reason in ("--max-connections", "limit"), ("--max-connections-per-peer", "per_peer"):
        path, address, process = serve(work, f"{limit}=2", image)
        clients = [Client(path).go(), Client(path).go()]
        check(is_turned_away(path), f"{limit}: a third client was let in")
        metrics = scrape_until(address, refused, "a refusal")
        equal(refused(metrics), {reason: 1}, limit)
        equal(metrics.value("connections_accepted_total"), 2, "accepted")
        event, = events(process, named("refused"), 1)
        check(limit in event["message"], event["message"])
        check(event["peer"].startswith("unix uid "), "the peer is missing")
        for client in clients:
            client.close()


def slowness(work, image):
    path, address, process = serve(work, "--handshake-timeout=1", "--idle-timeout=1", image)
    silent, idle = Client(path), Client(path).go()
    check(silent.is_closed() and idle.is_closed(), "nobody was cut off")
    metrics = scrape_until(address, lambda m: m.value("connections_open") == 0, "the end of both")
    equal(refused(metrics), {"handshake_timeout": 1, "idle_timeout": 1}, "timeouts")
    equal(metrics.all("handshakes_total", "result"), {"entered": 1, "aborted": 0, "failed": 1},
          "handshakes")
    equal(sorted(event["connection"] for event in events(process, named("timeout"), 2)), [1, 2],
          "timeouts in the log")
    silent.close()
    idle.close()


def missing_tls(work, image):
    keys = work.path("keys")
    run("psktool", "-u", "somebody", "-p", keys)
    path, address, process = serve(work, "--verbose", "--tls=require", f"--tls-psk={keys}", image)
    client = Client(path)
    client.option(OPT_GO, client.info_data(""))
    client.option(OPT_ABORT)
    client.close()
    metrics = scrape_until(address, refused, "a refusal")
    equal(refused(metrics), {"tls": 1}, "without TLS")
    run("nbdinfo", "--size", f"nbds+unix://somebody@/?socket={path}&tls-psk-file={keys}")
    equal(scrape(address).value("tls_sessions_total"), 1, "TLS sessions")
    began, = events(process, named("tls"), 1)
    equal((began["connection"], began["psk_identity"]), (2, "somebody"), "who began TLS")


def silent_in_tls(work, image):
    """Each is counted once: what it was cut for comes before what it had not done yet."""
    keys = work.path("more-keys")
    run("psktool", "-u", "somebody", "-p", keys)
    path, address, _ = serve(work, "--tls=require", f"--tls-psk={keys}", "--handshake-timeout=1",
                             image)
    client = Client(path)
    client.option(OPT_STARTTLS)
    check(client.is_closed(), "it was not cut off")
    metrics = scrape_until(address, lambda m: m.value("connections_open") == 0, "its end")
    equal(refused(metrics), {"handshake_timeout": 1}, "silence in TLS")
    client.close()


def access(work, image):
    config = work.path("config")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[open]\nimage={image}\n[closed]\nimage={image}\naccess=tls\n")
    path, address, process = serve(work, "--config", config)
    answers = []
    for name in "closed", "closed@base.qcow2", "none":
        client = Client(path)
        answers.append(client.option(OPT_GO, client.info_data(name)))
        client.option(OPT_ABORT)
        client.close()
    check(answers[0] == answers[1] == answers[2], f"the client can tell: {answers}")
    metrics = scrape_until(address, lambda m: m.value("connections_open") == 0, "them to leave")
    equal(refused(metrics), {"access": 2}, "access")
    kept = [event["message"] for event in
            events(process, lambda event: "access rules" in event["message"], 2)]
    equal(len(kept), 2, "messages about access")
    check(all('"closed' in message for message in kept), kept)


with Workspace() as work:
    image = make_seed_images(work)
    crowd(work, image)
    slowness(work, image)
    missing_tls(work, image)
    silent_in_tls(work, image)
    access(work, image)
