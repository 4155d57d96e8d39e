# SPDX-License-Identifier: LGPL-2.1-or-later
# proto_case.py - scenarios of the protocol, each with the rules of the specification that it shows.
#
# A scenario is a function of a link (how to reach the server) that fails by an exception:
#     @rule("Section of the specification", "what it demands, in a line")
#     def scenario(link): ...
# With --rules a test prints its table of rules and scenarios, and runs nothing.
import re
import sys
import time
import traceback

from nbd_case import (CONTENT, MIB, SIZE, STRATA_NBD, Workspace, check,  # noqa: F401
                      equal, make_seed_images, read_text, run)
from nbd_client import OPT_SET_META, SIMPLE, Client
from tls_case import Authority

RULES = []  # (section, rule, scenario)


def rule(section, text):
    def note(scenario):
        RULES.append((section, text, scenario))
        return scenario
    return note


class Link:
    """A way to a server: plain, or over TLS from the first option on."""

    def __init__(self, what, address, tls=None):
        self.what, self.address, self.tls = what, address, tls

    def connect(self, flags=3):
        client = Client(self.address, flags)
        return client.start_tls(self.tls) if self.tls else client

    def transmit(self, mode, export="", contexts=()):
        """A connection in the transmission phase; simple replies do without the contexts."""
        client = self.connect().use(mode)
        if contexts and mode != SIMPLE:
            client.meta(OPT_SET_META, export, *contexts)
        return client.go(export)


def print_rules():
    for section, text, scenario in RULES:
        print(f"{section} | {text} | {scenario.__name__}")


def play(*links, but=()):
    """Runs every scenario over every link, but for some; tells of all that fail."""
    failed = 0
    for scenario in dict.fromkeys(shown_by for _, _, shown_by in RULES if shown_by not in but):
        for link in links:
            try:
                scenario(link)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print(f"FAIL: {scenario.__name__} over {link.what}", file=sys.stderr)
                for section, text, shown_by in RULES:
                    if shown_by is scenario:
                        print(f"  rule: {section}: {text}", file=sys.stderr)
                traceback.print_exc(limit=-3)
    check(not failed, f"{failed} scenarios failed")


def main(test):
    if "--rules" in sys.argv:
        print_rules()
        return
    with Workspace() as work:
        test(work)


def make_certificates(work):
    """A folder for --tls-certificates, of a server called localhost, and a client's context."""
    authority = Authority(work).issue_server()
    return authority.dir, authority.client()


def tcp_link(work, *arguments):
    """A server on a free TCP port."""
    pid_file = work.path("tcp.pid")
    process = work.start_with_pid_file(pid_file, STRATA_NBD, "-b", "127.0.0.1", "-p", "0",
                                       "--pid-file", pid_file, *arguments)
    deadline = time.monotonic() + 30
    while not (port := re.search(r"listening on nbd://[^ /]*:([0-9]+)", read_text(process.log))):
        check(time.monotonic() < deadline, "the server does not say where it listens")
        time.sleep(0.002)
    return Link("TCP", ("127.0.0.1", int(port[1])))
