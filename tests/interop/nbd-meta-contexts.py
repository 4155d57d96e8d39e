#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Metadata contexts are listed, matched by wildcards, selected and forgotten as proto.md says."""
import struct

from nbd_case import MIB, Workspace, equal, make_seed_images
from nbd_client import (BLOCK_STATUS, Client, EINVAL, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN,
                        OPT_LIST_META, OPT_SET_META, error_of)

ALL = ["base:allocation", "qemu:allocation-depth",
       "qemu:dirty-bitmap:above:overlay.qcow2", "qemu:dirty-bitmap:above:base.qcow2",
       "strata:joint", "strata:layer", "strata:only:overlay.qcow2", "strata:only:base.qcow2",
       "strata:above:overlay.qcow2", "strata:above:base.qcow2"]


def listing(client):
    def listed(*queries):
        return [name for context, name in client.meta(OPT_LIST_META, "", *queries)]

    equal(listed(), ALL, "all")
    for wildcard in ("base:", "qemu:", "qemu:dirty-bitmap:", "qemu:dirty-bitmap:above:",
                     "strata:", "strata:only:", "strata:above:"):
        equal(listed(wildcard), [name for name in ALL if name.startswith(wildcard)], wildcard)
    equal(listed("strata:layer", "base:", "strata:layer", "x-other:", "nonsense", ""),
          ["base:allocation", "strata:layer"], "several queries, in the order of the list")
    for nothing in ("strata", "strata:only", "base:alloc", "strata:only:nobody",
                    "base:allocation:"):
        equal(listed(nothing), [], nothing)
    # The protocol leaf is no layer, but any node may be asked about.
    equal(listed("strata:only:base.qcow2-file"), ["strata:only:base.qcow2-file"], "unlisted node")


def selecting(client):
    chosen = client.meta(OPT_SET_META, "", "strata:layer", "base:allocation", "strata:layer",
                         "strata:", "base:", "x:y")
    equal([name for context, name in chosen], ["strata:layer", "base:allocation"], "selected")
    equal(len({context for context, name in chosen}), 2, "ids are unique")
    equal(client.meta(OPT_SET_META, ""), [], "no query selects nothing")


def refusals(client):
    for option in (OPT_LIST_META, OPT_SET_META):
        good = client.meta_data("", "base:allocation")
        for bad in (b"", good[:-1], good + b"\0", good[:4] + b"\0\0\0\2" + good[8:],
                    b"\0\0\xff\xff" + good[4:],
                    client.meta_data("", "base:" + "x" * 4092),
                    struct.pack(">III", 0, 1, 2) + b"\xff\xfe"):
            equal(client.option(option, bad)[-1][0], ERR_INVALID, f"{option} with {bad[:20]!r}")
        equal(client.option(option, client.meta_data("nothing"))[-1][0], ERR_UNKNOWN, "no export")
        equal(client.option(option, struct.pack(">II", 0, 5000))[-1][0], ERR_TOO_BIG, "5000")


def status_is_refused(client, why):
    equal(error_of(client.command(BLOCK_STATUS, 0, MIB))[0], EINVAL, why)
    client.close()


def forgetting(path):
    client = Client(path)
    equal(client.option(OPT_SET_META, client.meta_data("", "base:allocation"))[-1][0],
          ERR_INVALID, "before STRUCTURED_REPLY")
    client.use_structured()
    status_is_refused(client.go(), "nothing was selected")

    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "", "base:allocation")
    status_is_refused(client.go("@base.qcow2"), "selected on another export")

    client = Client(path)
    client.use_structured()
    client.meta(OPT_SET_META, "", "base:allocation")
    client.option(OPT_SET_META, b"")
    status_is_refused(client.go(), "a failed SET forgets, too")


with Workspace() as work:
    path = work.serve(make_seed_images(work))
    client = Client(path)
    client.use_structured()
    listing(client)
    selecting(client)
    refusals(client)
    client.close()
    forgetting(path)
