#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every command, with every flag, good and bad ranges and lengths, in each mode."""
from nbd_client import (
    BLOCK_STATUS, CACHE, DISC, EINVAL, EPERM, ERROR_OFFSET, EXTENDED, EXTENDED_REQUEST_MAGIC,
    FLAG_DF, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE, FLAG_PAYLOAD_LEN, FLAG_REQ_ONE, FLUSH, NONE,
    OFFSET_DATA, OFFSET_HOLE, READ, REQUEST_MAGIC, SIMPLE, STRUCTURED, TRIM, WRITE, WRITE_ZEROES,
    error_of, put_together)
from proto_case import (
    CONTENT, Link, MIB, SIZE, equal, main, make_certificates, make_seed_images, play, rule, run)

RANGES = ((0, SIZE), (0, 1), (SIZE - 1, 1), (MIB - 1, 2), (2 * MIB + 513, 3 * MIB),
          (3 * MIB, MIB), (65535, 2), (4 * MIB - 7, 14))
WRITES = (WRITE, TRIM, WRITE_ZEROES)
UNKNOWN = (8, 9, 77, 0x7fff, 0xffff)
MAX = 32 * MIB  # of a payload
BIG = 1 << 42   # the size of the export "big"
MODES = (SIMPLE, STRUCTURED, EXTENDED)


def in_all_modes(scenario):
    """Over TLS it is the same code behind; one mode shows that it is reached."""
    def in_each(link):
        for mode in MODES if not link.tls else (EXTENDED,):
            scenario(link, mode)
    in_each.__name__ = scenario.__name__
    return in_each


def still_serves(client, what):
    equal(client.read(MIB - 2, 4), CONTENT[MIB - 2:MIB + 2], what)


def write(client, offset, length, flags=0):
    """The error of a write as a client of that mode sends it."""
    flags |= FLAG_PAYLOAD_LEN if client.mode == EXTENDED else 0
    return client.error(WRITE, offset, length, flags, b"w" * length)


# Reads.
@rule("NBD_CMD_READ", "the bytes of the range, all of them and no others")
@in_all_modes
def reads(link, mode):
    client = link.transmit(mode)
    for offset, length in RANGES:
        equal(client.read(offset, length), CONTENT[offset:offset + length], f"{offset}+{length}")
    client.close()


@rule("NBD_CMD_READ", "known zeros are told as holes, the rest as data")
@rule("NBD_CMD_FLAG_DF", "one chunk of content, with zeros written out beside data")
def chunks_of_reads(link):
    if link.tls:
        return
    for mode in (STRUCTURED, EXTENDED):
        client = link.transmit(mode)
        for offset, length in RANGES:
            content = CONTENT[offset:offset + length]
            kinds = put_together(client.command(READ, offset, length), offset, length)[1]
            zeros = content.count(0)
            equal(OFFSET_HOLE in kinds, zeros > 0, f"zeros at {offset} come as holes")
            equal(OFFSET_DATA in kinds, zeros < length, f"data at {offset} comes as data")
            chunks = client.command(READ, offset, length, FLAG_DF)
            equal(put_together(chunks, offset, length), (content, [OFFSET_DATA]), f"DF at {offset}")
        client.close()


@rule("NBD_CMD_FLAG_DF", "no flag of simple replies")
def no_df_in_simple_replies(link):
    client = link.transmit(SIMPLE)
    equal(client.simple(READ, 0, 1, FLAG_DF), (EINVAL, b""), "DF")
    still_serves(client, "after DF")
    client.close()


@rule("Block size constraints", "the advertised maximum, 32 MiB, can be read, and no byte more")
@in_all_modes
def largest_read(link, mode):
    if link.tls:
        return
    client = link.big.transmit(mode)
    equal(client.read(5, MAX), bytes(MAX), "32 MiB")
    for length in (MAX + 1, 0xffffffff):
        equal(client.error(READ, 0, length), EINVAL, f"{length} bytes")
    equal(client.read(BIG - 3, 3), bytes(3), "after a read that was too long")
    client.close()


# Ranges.
@rule("Error values", "NBD_EINVAL for what goes past the end")
@in_all_modes
def ranges_past_the_end(link, mode):
    client = link.transmit(mode, contexts=("base:allocation",))
    for command in (READ, CACHE, BLOCK_STATUS):
        for offset, length in ((SIZE, 1), (SIZE - 1, 2), (0, SIZE + 1), (1 << 63, 1),
                               ((1 << 64) - 1, 1), ((1 << 64) - 1, 2), ((1 << 64) - SIZE, SIZE),
                               (SIZE + 1, 0xffffffff)):
            equal(client.error(command, offset, length), EINVAL, f"{command}: {offset} {length}")
    still_serves(client, "after ranges past the end")
    client.close()


@rule("NBD_CMD_READ", "a length of 0 is answered, and the connection stays")
@in_all_modes
def no_length(link, mode):
    client = link.transmit(mode, contexts=("base:allocation",))
    for command in (READ, CACHE, BLOCK_STATUS):
        for offset in (0, SIZE, 1 << 63):
            equal(client.error(command, offset, 0), EINVAL, f"{command} of 0 bytes")
    for command in (TRIM, WRITE_ZEROES):
        equal(client.error(command, 0, 0), EPERM, f"{command} of 0 bytes")
    # An extended write that announces a payload of 0 bytes has none.
    equal(write(client, 0, 0) in (EPERM, EINVAL), True, "a write of 0 bytes")
    still_serves(client, "after requests of no length")
    client.close()


@rule("Extended request", "a length has 64 bits, and all of them count")
def wide_lengths(link):
    client = link.transmit(EXTENDED, "", ("base:allocation",))
    for command in (READ, CACHE, BLOCK_STATUS):
        for length in (1 << 32, (1 << 32) + 512, 1 << 63, (1 << 64) - 1):
            for offset in (0, 512, (1 << 64) - 512):
                equal(client.error(command, offset, length), EINVAL, f"{command} {length}")
    for command in (TRIM, WRITE_ZEROES):
        equal(client.error(command, 0, 1 << 40), EPERM, f"{command} of 1 TiB")
    still_serves(client, "after wide lengths")
    client.close()
    client = link.big.transmit(EXTENDED, "", ("base:allocation",))
    for length in ((1 << 32) + 512, BIG):
        equal(client.error(READ, 0, length), EINVAL, "more than can be sent")
    client.close()


# Flags.
def expected_of(mode, command, flag):
    """The errors that a request with one flag may have."""
    if command in WRITES:
        legal = flag == 0 or command == WRITE_ZEROES and flag == FLAG_NO_HOLE
        return (EPERM,) if legal else (EPERM, EINVAL)
    if command in UNKNOWN:
        return (EINVAL,)
    allowed = {READ: FLAG_DF if mode != SIMPLE else 0,
               BLOCK_STATUS: FLAG_REQ_ONE}.get(command, 0)
    if command == BLOCK_STATUS and mode == SIMPLE:
        return (EINVAL,)
    return (0,) if flag & ~allowed == 0 else (EINVAL,)


@rule("Error values", "NBD_EINVAL for an unknown flag, and for one of another command")
@rule("NBD_CMD_FLAG_FUA", "not valid where NBD_FLAG_SEND_FUA was not set")
@in_all_modes
def every_flag(link, mode):
    client = link.transmit(mode, contexts=("base:allocation",))
    for command in (READ, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS) + UNKNOWN:
        length = 0 if command == FLUSH else 512
        for flag in [0] + [1 << bit for bit in range(16)]:
            if mode == EXTENDED and flag == FLAG_PAYLOAD_LEN:
                continue  # see payloads
            error = client.error(command, 0, length, flag)
            equal(error in expected_of(mode, command, flag), True, f"{command} {flag}: {error}")
        equal(client.error(command, 0, length, 0xffff & ~FLAG_PAYLOAD_LEN)
              in (EINVAL, EPERM), True, f"{command} with all flags")
    for flag in (0, FLAG_FUA, FLAG_NO_HOLE, FLAG_DF, FLAG_REQ_ONE, FLAG_FAST_ZERO):
        error = write(client, 0, 512, flag)
        equal(error in expected_of(mode, WRITE, flag), True, f"write, {flag}: {error}")
    still_serves(client, "after all flags")
    client.close()


# Writes.
@rule("NBD_FLAG_READ_ONLY", "what writes fails with NBD_EPERM")
@rule("NBD_CMD_WRITE", "its payload is read, whatever becomes of it")
@in_all_modes
def writes(link, mode):
    client = link.transmit(mode)
    for offset, length in ((0, 1), (0, 512), (512, 70_000), (SIZE, 512), (SIZE - 1, 2),
                           (1 << 63, 7), ((1 << 64) - 1, 2)):
        equal(write(client, offset, length), EPERM, f"write {length} at {offset}")
        for command in (TRIM, WRITE_ZEROES):
            equal(client.error(command, offset, length), EPERM, f"{command} {length} at {offset}")
    still_serves(client, "after writes")
    client.close()


@rule("Block size constraints", "32 MiB are no denial of service; more may be hung up on")
@in_all_modes
def largest_write(link, mode):
    if link.tls:
        return
    client = link.transmit(mode)
    equal(write(client, 0, MAX), EPERM, "32 MiB")
    still_serves(client, "after 32 MiB")
    flags = FLAG_PAYLOAD_LEN if mode == EXTENDED else 0
    client.send_request(WRITE, 0, MAX + 1, flags)
    equal(client.is_closed(), True, "one byte more is not waited for")


# Payloads of extended requests.
@rule("Extended request", "a payload that no command expects is read, and then NBD_EINVAL")
@rule("NBD_CMD_FLAG_PAYLOAD_LEN", "NBD_EINVAL with a command that has no form with a payload")
def payloads(link):
    client = link.transmit(EXTENDED)
    for command in (READ, FLUSH, CACHE, BLOCK_STATUS) + UNKNOWN:
        for payload in (b"p", b"p" * 12, b"p" * 70_000):
            error = client.error(command, 0, len(payload), FLAG_PAYLOAD_LEN, payload)
            equal(error, EINVAL, f"{command} with a payload")
    for command in (TRIM, WRITE_ZEROES):
        error = client.error(command, 0, 12, FLAG_PAYLOAD_LEN, b"p" * 12)
        equal(error in (EINVAL, EPERM), True, f"{command} with a payload")
    if not link.tls:
        equal(client.error(READ, 0, MAX, FLAG_PAYLOAD_LEN, bytes(MAX)), EINVAL, "32 MiB of payload")
    still_serves(client, "after payloads")
    client.close()


@rule("Extended request", "a payload of more than the maximum is hung up on")
def endless_payloads(link):
    for command in (READ, FLUSH, BLOCK_STATUS, TRIM, 77):
        for length in (MAX + 1, 1 << 32, (1 << 32) + 8, (1 << 64) - 1):
            client = link.transmit(EXTENDED)
            client.send_request(command, 0, length, FLAG_PAYLOAD_LEN)
            equal(client.is_closed(), True, f"{command} with {length} bytes of payload")


@rule("NBD_CMD_FLAG_PAYLOAD_LEN", "a write must have it: without, nobody knows where it ends")
def extended_write_without_flag(link):
    client = link.transmit(EXTENDED)
    client.send_request(WRITE, 0, 512)
    equal(client.is_closed(), True, "a write without the flag")


@rule("Extended request", "no PAYLOAD_LEN in compact requests")
def compact_payload_flag(link):
    for mode in (SIMPLE, STRUCTURED):
        client = link.transmit(mode)
        for command in (READ, FLUSH, CACHE, BLOCK_STATUS):
            length = 0 if command == FLUSH else 512
            equal(client.error(command, 0, length, FLAG_PAYLOAD_LEN), EINVAL, f"{command}")
        equal(write(client, 0, 512, FLAG_PAYLOAD_LEN) in (EPERM, EINVAL), True, "write")
        still_serves(client, "after PAYLOAD_LEN")
        client.close()


# The rest.
@rule("NBD_CMD_FLUSH", "succeeds; offset and length must be 0")
@rule("NBD_CMD_CACHE", "succeeds for a range of the export")
@in_all_modes
def flush_and_cache(link, mode):
    client = link.transmit(mode)
    equal(client.error(FLUSH), 0, "flush")
    for offset, length in ((1, 0), (0, 1), (512, 512)):
        equal(client.error(FLUSH, offset, length), EINVAL, "flush of a range")
    for offset, length in RANGES:
        equal(client.error(CACHE, offset, length), 0, "cache")
    if mode != SIMPLE:
        equal(client.command(FLUSH), [(NONE, b"")], "success is one chunk")
    client.close()


@rule("Block size constraints", "a maximum of payloads does not bind an extended cache request")
@in_all_modes
def long_cache(link, mode):
    client = link.big.transmit(mode)
    equal(client.error(CACHE, 5, MAX), 0, "32 MiB")
    for length in (MAX + 1, 0xffffffff) + ((BIG - 5,) if mode == EXTENDED else ()):
        equal(client.error(CACHE, 5, length), 0 if mode == EXTENDED else EINVAL, f"{length} bytes")
    client.close()


@rule("Error values", "NBD_EINVAL for an unknown command")
@in_all_modes
def unknown_commands(link, mode):
    client = link.transmit(mode)
    for command in UNKNOWN:
        for offset, length in ((0, 0), (0, 512), ((1 << 64) - 1, 0xffffffff)):
            equal(client.error(command, offset, length), EINVAL, f"command {command}")
    still_serves(client, "after unknown commands")
    client.close()


@rule("NBD_CMD_BLOCK_STATUS", "NBD_EINVAL where no context was selected")
@in_all_modes
def status_without_contexts(link, mode):
    client = link.transmit(mode)
    equal(client.error(BLOCK_STATUS, 0, 512), EINVAL, "no context")
    equal(client.error(BLOCK_STATUS, 0, 512, FLAG_REQ_ONE), EINVAL, "no context, one extent")
    still_serves(client, "after a status")
    client.close()


@rule("Structured reply message", "an error is a chunk with a message for a human being")
@rule("Structured reply chunk message", "no simple reply to a read that is wrong from the start")
def errors_have_messages(link):
    for mode in (STRUCTURED, EXTENDED):
        client = link.transmit(mode)
        for request in ((READ, SIZE, 1), (READ, 0, 1, 1 << 9), (TRIM, 0, 1), (77, 0, 1)):
            chunks = client.command(*request)
            equal(len(chunks), 1, f"chunks for {request}: {chunks}")
            equal(bool(error_of(chunks)[1]), True, f"message for {request}")
            equal(chunks[0][0] == ERROR_OFFSET, False, "a wrong request has no place in the export")
        client.close()


@rule("Request message", "the cookie comes back as it is")
@in_all_modes
def cookies(link, mode):
    client = link.transmit(mode)
    for cookie in (0, 1, 1 << 32, 1 << 63, (1 << 64) - 1, 0x2560951367446698):
        for command, length in ((READ, 512), (FLUSH, 0), (TRIM, 512), (77, 1)):
            client.send_request(command, 0, length, cookie=cookie)
            answered = client.receive_simple()[0] if mode == SIMPLE else client.receive_chunk()[2]
            equal(answered, cookie, f"cookie of {command}")
    client.close()


@rule("Reserved Magic values", "a request begins with the magic of its mode, or is not understood")
@rule("Extended request", "compact and extended requests do not mix")
@in_all_modes
def wrong_magic(link, mode):
    other = REQUEST_MAGIC if mode == EXTENDED else EXTENDED_REQUEST_MAGIC
    for magic in (other, 0x12560953, 0x25609514, 0x67446698, 0, 0x13956025):
        client = link.transmit(mode)
        client.send_request(READ, 0, 512, magic=magic)
        equal(client.is_closed(), True, f"magic {magic:#x}")


@rule("NBD_CMD_DISC", "no reply, and the connection is closed; over TLS, with a good-bye")
@in_all_modes
def disconnect(link, mode):
    for offset, length, flags in ((0, 0, 0), (1, 1, 0), (0, 0, FLAG_FUA)):
        client = link.transmit(mode)
        still_serves(client, "before DISC")
        client.send_request(DISC, offset, length, flags)
        equal(client.is_closed(), True, "DISC")
        equal(client.ended_well or not link.tls, True, "TLS is shut down")


def links(work, image, big, what, options=(), tls=None):
    """The seed image, and beside it a server of an export that is big."""
    link = Link(what, work.serve(*options, image), tls)
    link.big = Link(what, work.serve(*options, big), tls)
    return link


def test(work):
    image, big = make_seed_images(work), work.path("big.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", big, str(BIG))
    with open(image, "rb") as file:
        before = file.read()
    folder, tls = make_certificates(work)
    play(links(work, image, big, "a Unix socket"),
         links(work, image, big, "TLS", ("--tls=require", "--tls-certificates", folder), tls))
    with open(image, "rb") as file:
        equal(file.read() == before, True, "the image is as it was")


main(test)
