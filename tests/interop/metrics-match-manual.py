#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual page names every metric that is told, with its type and labels, and no other; and
every key and event of the log."""
import os
import re

from metrics_case import PART, scrape
from nbd_case import Workspace, check, equal, make_seed_images
from nbd_client import OPT_SET_META, BLOCK_STATUS, READ, Client

SOURCE = os.environ.get("SRCDIR", os.path.join(os.path.dirname(__file__), "..", ".."))


def read(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return file.read()


def section(page, title):
    return page.split(f"\n=head1 {title}\n")[1].split("\n=head1 ")[0]


def metrics_in_page(page):
    """=item C<strata_nbd_NAME{LABEL,LABEL}>, TYPE"""
    items = re.findall(r"^=item C<(\w+)(?:\{([\w,]+)\})?>, (\w+)$", section(page, "METRICS"),
                       flags=re.M)
    return {name: (kind, set(labels.split(",")) - {""}) for name, labels, kind in items}


def metrics_told(metrics):
    told = {}
    for name, kind in metrics.types.items():
        series = [dict(labels) for sample, labels in metrics.samples
                  if re.fullmatch(name + "(_bucket|_sum|_count)?", sample)]
        check(series, f"{name} has no sample")
        told[name] = (kind, {label for labels in series for label in labels} - {"le"})
    return told


with Workspace() as work:
    page = read("docs/strata-nbd.pod")
    address = work.path("metrics")
    path = work.serve(f"--metrics=unix:{address}", make_seed_images(work))
    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "", "base:allocation")
    client.go()
    client.command(READ, 0, 1)
    client.command(BLOCK_STATUS, 0, 4096)
    metrics = scrape(address)
    told, documented = metrics_told(metrics), metrics_in_page(page)
    equal(sorted(documented), sorted(told), "metrics in the page and at the endpoint")
    for name in told:
        equal(documented[name], told[name], f"type and labels of {name}")
        check(name.startswith(PART), name)
    for bound in {dict(labels)["le"] for _, labels in metrics.samples if "le" in dict(labels)}:
        check(bound == "+Inf" or re.search(rf"\b{re.escape(bound)}\b", section(page, "METRICS")),
              f"the page does not tell of the bound {bound}")
    for label in "reason", "result":
        for name in "connections_refused_total", "handshakes_total":
            for word in metrics.all(name, label):
                check(word is None or f"C<{word}>" in section(page, "METRICS"),
                      f"the page does not tell of {label} {word}")

    # Of the log, what the sources can say.
    log = section(page, "LOG")
    keys = set(re.findall(r'visit_\w+\([^,]+, "(\w+)"', read("server/observe/log.c")))
    keys |= set(re.findall(r'func\("(\w+)"', read("server/observe/log.c"))) | {"time", "level", "message"}
    equal(set(re.findall(r"^=item C<([a-z_]+)>$", log, flags=re.M)), keys, "keys of the log")
    events = set()
    for folder, _, names in os.walk(os.path.join(SOURCE, "server")):
        for name in names:
            if name.endswith(".c"):
                events |= set(re.findall(r'(?:\.event = |log_notice\(\s*|'
                                         r'connection_log_(?:event|fields|failure_as)\(connection,\s+)'
                                         r'"([a-z-]+)"', read(os.path.join(folder, name))))
    check("accepted" in events and "reload" in events, f"found only {events} in the sources")
    equal(set(re.findall(r"^=item C<\"([a-z-]+)\">$", log, flags=re.M)), events, "events of the log")
