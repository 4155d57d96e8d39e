#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NBD_OPT_STARTTLS: what a server says before it, that nothing survives it, that it comes once."""
import socket
import ssl
import struct
import warnings

from nbd_client import (
    BLOCK_STATUS, Client, Closed, EINVAL, ERR_INVALID, ERR_TLS_REQD, ERR_UNSUP, EXTENDED, IHAVEOPT,
    OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED, OPT_GO, OPT_INFO, OPT_LIST, OPT_LIST_META,
    OPT_SET_META, OPT_STARTTLS, OPT_STRUCTURED, READ, REPLY_MAGIC, REP_ACK, REP_ERROR, SIMPLE,
    STRUCTURED)
from proto_case import CONTENT, Link, equal, main, make_certificates, make_seed_images, play, rule


def kinds(client, option, data=b""):
    return [kind for kind, _ in client.option(option, data)]


@rule("FORCEDTLS mode", "before TLS, NBD_REP_ERR_TLS_REQD to every option but STARTTLS and ABORT")
@rule("NBD_OPT_INFO", "nothing is told of any export")
def forced_before_tls(link):
    client = Client(link.forced)
    data = client.info_data("")
    for option, payload in ((OPT_LIST, b""), (OPT_LIST, b"x"), (OPT_INFO, data), (OPT_GO, data),
                            (OPT_GO, client.info_data("nothing")), (OPT_GO, b"x"),
                            (OPT_STRUCTURED, b""), (OPT_EXTENDED, b""), (77, b"x" * 5000), (4, b""),
                            (OPT_LIST_META, client.meta_data("")),
                            (OPT_SET_META, client.meta_data("", "base:allocation"))):
        answers = client.option(option, payload)
        equal([kind for kind, _ in answers], [ERR_TLS_REQD], f"option {option}")
        equal(b"overlay" in answers[0][1], False, "a message that tells of the export")
    client.start_tls(link.tls)
    equal(client.go().read(0, 5), CONTENT[:5], "after TLS")
    client.close()


@rule("FORCEDTLS mode", "NBD_OPT_EXPORT_NAME, which cannot fail, ends the session")
def forced_export_name(link):
    for flags in (0, 1, 2, 3):  # whoever is not fixed newstyle cannot have TLS at all
        client = Client(link.forced, flags)
        client.send_option(OPT_EXPORT_NAME)
        equal(client.is_closed(), True, f"EXPORT_NAME with flags {flags}")


@rule("FORCEDTLS mode", "NBD_OPT_ABORT is heard without TLS")
def abort_before_tls(link):
    client = Client(link.forced)
    equal(client.option(OPT_ABORT), [(REP_ACK, b"")], "ABORT")
    equal(client.is_closed(), True, "ABORT")


@rule("SELECTIVETLS mode", "without TLS all goes as without a server that has it")
def selective_without_tls(link):
    client = Client(link.address)
    equal(kinds(client, OPT_LIST)[-1], REP_ACK, "LIST")
    equal(kinds(client, 77), [ERR_UNSUP], "an unknown option")
    equal(client.go().read(0, 5), CONTENT[:5], "a read")
    client.close()


@rule("NBD_OPT_STARTTLS", "takes no data")
def data_with_starttls(link):
    for address in (link.address, link.forced):
        client = Client(address)
        equal(kinds(client, OPT_STARTTLS, b"x"), [ERR_INVALID], "STARTTLS with data")
        client.start_tls(link.tls)
        equal(client.go().read(0, 5), CONTENT[:5], "and then without")
        client.close()


@rule("FORCEDTLS mode", "a second STARTTLS is NBD_REP_ERR_INVALID")
@rule("SELECTIVETLS mode", "a second STARTTLS is NBD_REP_ERR_INVALID")
@rule("FORCEDTLS mode", "after TLS, never NBD_REP_ERR_TLS_REQD")
def starttls_twice(link):
    for address in (link.address, link.forced):
        client = Client(address).start_tls(link.tls)
        equal(kinds(client, OPT_STARTTLS), [ERR_INVALID], "STARTTLS twice")
        equal(kinds(client, 77), [ERR_UNSUP], "an unknown option")
        equal(kinds(client, OPT_LIST)[-1], REP_ACK, "LIST")
        client.close()


@rule("NBD_OPT_STARTTLS", "nothing that was negotiated before survives it")
def state_is_forgotten(link):
    for mode in (STRUCTURED, EXTENDED):
        client = Client(link.address).use(mode)
        client.meta(OPT_SET_META, "", "base:allocation")
        client.start_tls(link.tls)
        equal(kinds(client, OPT_SET_META, client.meta_data("", "base:allocation"))[-1] & REP_ERROR,
              REP_ERROR, f"SET_META after STARTTLS, without {mode}")
        equal(client.go().simple(READ, 0, 5), (0, CONTENT[:5]), f"not {mode} any more")
        client.close()
    client = Client(link.address).use(STRUCTURED)
    client.meta(OPT_SET_META, "", "base:allocation")
    client.start_tls(link.tls).use(STRUCTURED)
    equal(client.go().error(BLOCK_STATUS, 0, 512), EINVAL, "the contexts are forgotten")
    client.close()


@rule("TLS support", "all that follows STARTTLS goes over TLS: what was sent before is not heard")
def injected_bytes(link):
    """Who sits between client and server puts options behind STARTTLS, in the clear."""
    for address in (link.address, link.forced):
        for extra in (struct.pack(">QII", IHAVEOPT, OPT_LIST, 0),
                      struct.pack(">QII", IHAVEOPT, OPT_STRUCTURED, 0), b"x"):
            client = Client(address)
            client.send(struct.pack(">QII", IHAVEOPT, OPT_STARTTLS, 0) + extra)
            try:
                equal(client.replies(OPT_STARTTLS), [(REP_ACK, b"")], "STARTTLS")
                client.shake_hands(link.tls)
            except (Closed, ssl.SSLError, ConnectionError):
                client.close()
                continue
            raise AssertionError("TLS stands, though there was something before it")


@rule("FORCEDTLS mode", "without a handshake that succeeds the session ends")
def failed_handshakes(link):
    for data in (b"x" * 100, struct.pack(">QII", IHAVEOPT, OPT_LIST, 0) * 9,
                 b"\x16\x03\x01\0\5hello", b""):
        client = Client(link.forced)
        equal(client.option(OPT_STARTTLS), [(REP_ACK, b"")], "STARTTLS")
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        try:
            while piece := client.socket.recv(4096):
                equal(struct.pack(">Q", REPLY_MAGIC)[1:] in piece, False, "a reply in plain text")
        except ConnectionError:
            pass
        client.close()


@rule("TLS versions", "TLS 1.2 and 1.3, nothing older")
def versions(link):
    warnings.simplefilter("ignore", DeprecationWarning)  # to speak TLS 1.1 is the point
    for version, good in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True),
                          (ssl.TLSVersion.TLSv1_1, False)):
        context = ssl.create_default_context(cafile=link.authority)
        context.minimum_version = min(version, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = version
        if not good:
            context.minimum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")  # else it is our side that refuses
        try:
            client = Client(link.forced).start_tls(context)
            equal(good, True, f"{version.name} is taken")
            equal(client.go().read(0, 5), CONTENT[:5], version.name)
            client.close()
        except (ssl.SSLError, ConnectionError):
            equal(good, False, f"{version.name} is refused")


@rule("NBD_OPT_ABORT", "TLS is shut down before the connection")
def farewell(link):
    client = Client(link.address).start_tls(link.tls)
    equal(client.option(OPT_ABORT), [(REP_ACK, b"")], "ABORT")
    equal((client.is_closed(), client.ended_well), (True, True), "a good-bye of TLS")


@rule("Transmission", "content is the same over TLS, whatever the mode")
def content(link):
    for mode in (SIMPLE, STRUCTURED, EXTENDED):
        client = Client(link.forced).start_tls(link.tls).use(mode).go()
        equal(client.read(0, len(CONTENT)) == CONTENT, True, f"content, {mode}")
        client.close()


def test(work):
    image = make_seed_images(work)
    folder, tls = make_certificates(work)
    link = Link("on and required", work.serve("--tls=on", "--tls-certificates", folder, image))
    link.forced = work.serve("--tls=require", "--tls-certificates", folder, image)
    link.tls, link.authority = tls, folder + "/ca-cert.pem"
    play(link)


main(test)
