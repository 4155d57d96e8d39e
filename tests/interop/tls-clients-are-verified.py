#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# tls-clients-are-verified.py - --tls-verify-peer and --tls-authz: who is let in, who is not, and that
# the log says why, with names made harmless.
import ssl

from nbd_case import CONTENT, Workspace, check, equal, make_seed_images
from nbd_client import READ, Client, Closed
from functions import read_text, wait_for_log
from tls_case import ALICE, PAST, Authority

EVIL = 'cn = "mallory\u202e"\n'


def enters(path, tls):
    """Whether the client is let in: TLS 1.3 tells it by the first answer, or by none."""
    client = Client(path)
    try:
        client.start_tls(tls).go("disk")
        return client.simple(READ, 0, 4) == (0, CONTENT[:4])
    except (Closed, ssl.SSLError, ConnectionError):
        return False
    finally:
        client.close()


def old(tls):
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return tls


def verify_peer(work, image, ours, other):
    path, process = work.serve_process("-x", "disk", "--tls=require", "--tls-certificates",
                                       ours.dir, "--tls-verify-peer", image)
    for tls, expected, what in (
            (ours.client("alice"), True, "a client of our CA"),
            (old(ours.client("alice")), True, "the same with TLS 1.2"),
            (ours.client(), False, "no certificate"),
            (old(ours.client()), False, "no certificate with TLS 1.2"),
            (ours.client("alice", other), False, "another CA"),
            (ours.client("late"), False, "expired"),
            (ours.client("gone"), False, "revoked"),
            (ours.client("server"), False, "a certificate of a server")):
        equal(enters(path, tls), expected, what)
    for reason in ("Certificate is required", "expired", "revoked", "issuer is unknown",
                   "purpose"):
        wait_for_log(process, reason)


def authz(work, image, ours, rules, expected):
    """EXPECTED: {who: whether it is let in}"""
    arguments = [word for rule in rules for word in ("--tls-authz", rule)]
    path, process = work.serve_process("-x", "disk", "--tls-certificates", ours.dir, *arguments,
                                       image)
    for who, is_let_in in expected.items():
        equal(enters(path, ours.client(who)), is_let_in, f"{who} by {rules}")
        if not is_let_in and who not in (None, "late"):  # these fail earlier
            wait_for_log(process, "no rule of --tls-authz admits the client")
    return read_text(process.log)


def main():
    with Workspace() as work:
        image = make_seed_images(work)
        ours, other = Authority(work), Authority(work, "other")
        ours.issue_server().issue_client("alice", ALICE).issue_client("bob")
        ours.issue_client("host", 'cn = "host"\nip_address = "192.0.2.9"\n')
        ours.issue_client("web", 'cn = "web"\nuri = "spiffe://example.com/web"\n')
        ours.issue_client("mail", 'cn = "mail"\nemail = "mail@example.com"\n')
        ours.issue_client("gone").issue_client("late", dates=PAST).issue_client("evil", EVIL)
        other.issue_client("alice", ALICE)
        # Not asked for, a certificate is not looked at.
        path = work.serve("-x", "disk", "--tls=require", "--tls-certificates", ours.dir, image)
        equal(enters(path, ours.client()), True, "nobody asks for certificates")
        equal(enters(path, ours.client("alice", other)), True, "and nobody looks at them")
        ours.revoke("gone")
        verify_peer(work, image, ours, other)

        authz(work, image, ours, ["dn=CN=alice,O=Example\\, Inc."],
              {"alice": True, "bob": False, None: False, "late": False})
        authz(work, image, ours, ["san=IP:192.0.2.*", "san=URI:spiffe://example.com/*",
                                  "san=email:mail@*", "san=DNS:*.example.com", "dn=CN=al"],
              {"host": True, "web": True, "mail": True, "alice": True, "bob": False})
        log = authz(work, image, ours, ["dn=CN=bob"], {"bob": True, "evil": False})
        check("mallory" in log and "\u202e" not in log, f"a name is not made harmless: {log!r}")


main()
