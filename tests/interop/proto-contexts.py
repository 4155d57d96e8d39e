#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Metadata contexts are listed, matched by wildcards, selected, replaced and forgotten."""
import struct

from nbd_client import (
    BLOCK_STATUS, EINVAL, ERR_EXT_HEADER_REQD, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, EXTENDED,
    OPT_EXPORT_NAME, OPT_LIST_META, OPT_SET_META, REP_ACK, REP_META, SIMPLE, STRUCTURED)
from proto_case import Link, MIB, equal, main, make_seed_images, play, rule

NARROW = ["base:allocation", "qemu:allocation-depth",
          "qemu:dirty-bitmap:above:overlay.qcow2", "qemu:dirty-bitmap:above:base.qcow2",
          "strata:joint", "strata:layer", "strata:only:overlay.qcow2", "strata:only:base.qcow2",
          "strata:above:overlay.qcow2", "strata:above:base.qcow2"]
WIDE = "strata:leaf-offset"
BOTH = (OPT_LIST_META, OPT_SET_META)


def listed(client, *queries):
    """Names in the order of the server, without the wide one, which has scenarios of its own."""
    replies = client.option(OPT_LIST_META, client.meta_data("", *queries))
    equal(replies[-1][0] in (REP_ACK, ERR_EXT_HEADER_REQD), True, f"LIST {queries}: {replies[-1]}")
    names = [data[4:].decode() for kind, data in replies if kind == REP_META]
    return [name for name in names if name != WIDE]


@rule("NBD_OPT_LIST_META_CONTEXT", "without a query, all that can be selected")
@rule("NBD_OPT_LIST_META_CONTEXT", "before structured replies it may be refused, or answered")
def list_all(link):
    for mode in (SIMPLE, STRUCTURED, EXTENDED):
        client = link.connect().use(mode)
        equal(listed(client), NARROW, f"all, {mode}")
        client.close()


@rule("The `base:` metadata namespace", "'base:' is a wildcard when listing")
@rule("Metadata querying", "an empty leaf-name makes sense as a wildcard when listing")
def list_by_wildcards(link):
    client = link.connect().use(EXTENDED)
    for wildcard in ("base:", "qemu:", "qemu:dirty-bitmap:", "qemu:dirty-bitmap:above:",
                     "strata:", "strata:only:", "strata:above:"):
        equal(listed(client, wildcard), [name for name in NARROW if name.startswith(wildcard)],
              wildcard)
    for name in NARROW:
        equal(listed(client, name), [name], name)
    equal(listed(client, "strata:layer", "base:", "strata:layer", "x-other:", "nonsense", ""),
          ["base:allocation", "strata:layer"], "several queries, in the order of the list")
    # The protocol leaf is no layer, but any node may be asked about.
    equal(listed(client, "strata:only:base.qcow2-file"), ["strata:only:base.qcow2-file"], "leaf")
    client.close()


@rule("NBD_OPT_LIST_META_CONTEXT", "queries of unknown namespaces are ignored")
@rule("The `base:` metadata namespace", "an unknown leaf-name is ignored, and no error")
@rule("NBD_OPT_LIST_META_CONTEXT", "if nothing is found, a single NBD_REP_ACK")
def ignored_queries(link):
    client = link.connect().use(STRUCTURED)
    for query in ("x-other:", "x-other:thing", "qemu2:allocation-depth", "BASE:allocation",
                  "base:alloc", "base:allocation:", "base:allocation ", ":allocation", ":",
                  "strata:only:nobody", "qemu:dirty-bitmap:none", "base:\u00fc"):
        for option in BOTH:
            equal(client.option(option, client.meta_data("", query)), [(REP_ACK, b"")],
                  f"{option} {query}")
    client.close()


@rule("NBD_OPT_LIST_META_CONTEXT", "a query without a colon may be refused as NBD_REP_ERR_INVALID")
def queries_without_colon(link):
    client = link.connect().use(STRUCTURED)
    for query in ("", "base", "strata", "allocation", "strata:only"):
        for option in BOTH:
            replies = client.option(option, client.meta_data("", query))
            equal(replies[-1][0] in (REP_ACK, ERR_INVALID) and len(replies) == 1, True, query)
    equal(listed(client, "base:"), ["base:allocation"], "and the connection goes on")
    client.close()


@rule("NBD_OPT_SET_META_CONTEXT", "a reply with an id of its own for each selected context")
@rule("The `base:` metadata namespace", "'base:' selects nothing")
def select(link):
    for mode in (STRUCTURED, EXTENDED):
        client = link.connect().use(mode)
        chosen = client.meta(OPT_SET_META, "", "strata:layer", "base:allocation", "strata:layer",
                             "strata:", "base:", "x:y")
        equal([name for _, name in chosen], ["strata:layer", "base:allocation"], "selected")
        told = client.go().status(0, MIB)
        equal(told.keys(), dict(chosen).keys(), "contexts told of")
        client.close()


@rule("NBD_OPT_SET_META_CONTEXT", "without a query nothing is selected")
def select_nothing(link):
    client = link.connect().use(STRUCTURED)
    client.meta(OPT_SET_META, "", "base:allocation")
    equal(client.meta(OPT_SET_META, ""), [], "no query")
    refuses_status(client.go(), "no query selects nothing")


@rule("NBD_OPT_SET_META_CONTEXT", "replaces what was selected before")
def replaced(link):
    client = link.connect().use(STRUCTURED)
    client.meta(OPT_SET_META, "", "base:allocation", "strata:joint")
    last = client.meta(OPT_SET_META, "", "strata:layer")
    equal(client.go().status(0, MIB), {last[0][0]: [(MIB, 2)]}, "the last selection counts")
    client.close()


def refuses_status(client, why):
    equal(client.error(BLOCK_STATUS, 0, MIB), EINVAL, why)
    client.close()


@rule("NBD_OPT_SET_META_CONTEXT", "replaces what was selected before, even if it fails")
def failures_forget(link):
    for data in (b"", b"\0\0\0\1", struct.pack(">II", 0, 5000), b"\0" * 100_000,
                 b"\0\0\0\7nothing\0\0\0\0"):
        client = link.connect().use(EXTENDED)
        client.meta(OPT_SET_META, "", "base:allocation")
        equal(client.option(OPT_SET_META, data)[-1][0] != REP_ACK, True, "a failing SET")
        refuses_status(client.go(), f"a failed SET forgets: {data[:20]}")


@rule("NBD_CMD_BLOCK_STATUS", "the contexts must have been selected on the same export")
def another_export(link):
    for name in ("@base.qcow2", "@overlay.qcow2"):
        client = link.connect().use(STRUCTURED)
        client.meta(OPT_SET_META, "", "base:allocation")
        refuses_status(client.go(name), "selected on another export")
    client = link.connect().use(STRUCTURED)
    client.meta(OPT_SET_META, "", "base:allocation")
    client.send_option(OPT_EXPORT_NAME, b"@base.qcow2")
    client.receive(10)
    client.contexts = {}
    refuses_status(client, "selected on another export")


@rule("NBD_OPT_GO", "a failed attempt in between changes nothing of the selection")
def failed_go_keeps(link):
    client = link.connect().use(STRUCTURED)
    client.meta(OPT_SET_META, "", "base:allocation")
    equal(client.option(7, client.info_data("nothing"))[-1][0], ERR_UNKNOWN, "GO to nowhere")
    equal(list(client.go().status(0, MIB).values()), [[(MIB, 0)]], "status")
    client.close()


@rule("NBD_OPT_SET_META_CONTEXT", "NBD_REP_ERR_INVALID before structured replies")
def before_structured(link):
    client = link.connect()
    equal(client.option(OPT_SET_META, client.meta_data("", "base:allocation"))[-1][0]
          in (ERR_INVALID, ERR_EXT_HEADER_REQD), True, "before STRUCTURED_REPLY")
    client.use(STRUCTURED)
    refuses_status(client.go(), "nothing was selected")


@rule("NBD_OPT_LIST_META_CONTEXT", "NBD_REP_ERR_INVALID if the data are not well-formed")
@rule("Conventions", "a string has at most 4096 bytes, is UTF-8 and without NUL")
def malformed(link):
    client = link.connect().use(STRUCTURED)
    good = client.meta_data("", "base:allocation", "strata:layer")
    bad = [good[:length] for length in range(len(good))]
    bad += [good + b"\0", good[:4] + b"\0\0\0\3" + good[8:], b"\0\0\xff\xff" + good[4:],
            b"\xff" * 4 + good[4:], client.meta_data("", "base:" + "x" * 4092),
            struct.pack(">III", 0, 1, 2) + b"\xff\xfe", struct.pack(">III", 0, 1, 6) + b"base:\0",
            b"\0\0\0\2\xff\xfe\0\0\0\0", b"\0\0\0\1\0\0\0\0\0", client.meta_data("x" * 4097)]
    for option in BOTH:
        for data in bad:
            replies = client.option(option, data)
            equal([kind for kind, _ in replies], [ERR_INVALID], f"{option} with {data[:20]!r}")
    client.close()


@rule("NBD_REP_ERR_UNKNOWN", "contexts of an export that does not exist")
def unknown_export(link):
    client = link.connect().use(STRUCTURED)
    for option in BOTH:
        for name in ("nothing", "@", "x" * 4096):
            equal([kind for kind, _ in client.option(option, client.meta_data(name, "base:"))],
                  [ERR_UNKNOWN], f"{option} on {name[:9]}")
    client.close()


@rule("NBD_REP_ERR_TOO_BIG", "too many queries may be refused; a query of 4096 bytes may not")
def many_queries(link):
    client = link.connect().use(STRUCTURED)
    for option in BOTH:
        for count in (5000, 0xffffffff):
            kind = client.option(option, struct.pack(">II", 0, count))[-1][0]
            equal(kind in (ERR_TOO_BIG, ERR_INVALID), True, f"{count} queries that are not there")
        equal(client.option(option, client.meta_data("", *["x-y:"] * 2000))[-1][0] in
              (REP_ACK, ERR_TOO_BIG), True, "2000 queries")
        names = [data[4:].decode() for _, data in client.option(
            option, client.meta_data("", *NARROW, *["x-y:"] * 500))[:-1]]
        equal(names, NARROW, "500 idle queries")
        equal(client.option(option, client.meta_data("", "x-" + "y" * 4093 + ":")),
              [(REP_ACK, b"")], "a query of 4096 bytes")
    client.close()


@rule("NBD_REP_ERR_EXT_HEADER_REQD", "a context of 64 bits is only to be had with extended headers")
def wide_contexts(link):
    client = link.connect().use(STRUCTURED)
    for queries in ((WIDE,), ("strata:",), ()):
        replies = client.option(OPT_LIST_META, client.meta_data("", *queries))
        found = [data[4:].decode() for kind, data in replies if kind == REP_META]
        equal(replies[-1][0], ERR_EXT_HEADER_REQD if WIDE in found else REP_ACK, f"{queries}")
    equal(client.option(OPT_LIST_META, client.meta_data("", "base:"))[-1], (REP_ACK, b""), "base:")
    replies = client.option(OPT_SET_META, client.meta_data("", "base:allocation", WIDE))
    equal(replies[-1][0] == ERR_EXT_HEADER_REQD or replies[-1][0] == REP_ACK and len(replies) == 2,
          True, f"SET without extended headers: {replies}")
    client.close()
    client = link.connect().use(EXTENDED)
    names = [name for _, name in client.meta(OPT_LIST_META, "")]
    equal(sorted(names), sorted(NARROW + [WIDE]), "all, with extended headers")
    equal([name for _, name in client.meta(OPT_SET_META, "", WIDE)], [WIDE], "SET")
    client.close()


def test(work):
    play(Link("a Unix socket", work.serve(make_seed_images(work))))


main(test)
