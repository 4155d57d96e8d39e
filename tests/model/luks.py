# SPDX-License-Identifier: LGPL-2.1-or-later
# luks.py - encrypts: LUKS1 headers with a key slot, and sectors as LUKS and old qcow2 images do.
#
# Written from the LUKS On-Disk Format Specification, version 1.2.3, and the section "Data
# encryption" of the qcow2 specification. No image is opened here: a test chooses the master key,
# and what strata makes of the image is compared with what went in.
import functools
import hashlib
import random
import struct
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SECTOR = 512
SLOTS, STRIPES = 8, 4000
ENABLED, DISABLED = 0x00AC71F3, 0x0000DEAD
ALIGNMENT = 4096  # of key material

METHOD_AES, METHOD_LUKS = 1, 2  # crypt_method of a qcow2 header

# (cipher mode, bytes of the master key, hash): what QEMU creates by default, and relatives of it.
FORMS = (
    ("xts-plain64", 64, "sha256"),
    ("xts-plain64", 32, "sha256"),
    ("xts-plain64", 64, "sha1"),
    ("xts-plain64", 64, "sha512"),
    ("cbc-essiv:sha256", 32, "sha256"),
    ("cbc-plain64", 32, "sha256"),
    ("xts-plain", 64, "sha256"),
)


class Sectors:
    """A cipher over sectors of 512 bytes, numbered by whatever the format says."""

    def __init__(self, mode, key):
        self.chaining, _, self.generator = mode.partition("-")
        self.key = algorithms.AES(key)
        if self.generator.startswith("essiv:"):
            digest = hashlib.new(self.generator.removeprefix("essiv:"), key).digest()
            self.salted = algorithms.AES(digest)

    def vector(self, sector):
        if self.generator == "plain":
            return struct.pack("<I", sector & 0xFFFFFFFF) + bytes(12)
        plain64 = struct.pack("<Q", sector) + bytes(8)
        if self.generator == "plain64":
            return plain64
        return Cipher(self.salted, modes.ECB()).encryptor().update(plain64)

    def encrypt(self, data, sector):
        """data: whole sectors, the first of them numbered @sector."""
        assert len(data) % SECTOR == 0
        mode = modes.XTS if self.chaining == "xts" else modes.CBC
        return b"".join(
            Cipher(self.key, mode(self.vector(sector + at // SECTOR))).encryptor().update(
                data[at:at + SECTOR]) for at in range(0, len(data), SECTOR))


def _diffuse(data, digest):
    size = hashlib.new(digest).digest_size
    return b"".join(
        hashlib.new(digest, struct.pack(">I", at // size) + data[at:at + size]).digest()
        [:len(data) - at] for at in range(0, len(data), size))


def _exclusive_or(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def _split(key, digest, rng):
    """The anti-forensic splitter: all stripes are needed to get the key back."""
    block, stripes = bytes(len(key)), []
    for _ in range(STRIPES - 1):
        stripe = rng.randbytes(len(key))
        stripes.append(stripe)
        block = _diffuse(_exclusive_or(block, stripe), digest)
    return b"".join(stripes) + _exclusive_or(block, key)


def _material_sectors(key_bytes):
    return -(-key_bytes * STRIPES // ALIGNMENT) * ALIGNMENT // SECTOR


def _text(text, size):
    return text.encode().ljust(size, b"\0")


def _slot(number, active, iterations, salt, key_bytes):
    start = ALIGNMENT // SECTOR + number * _material_sectors(key_bytes)
    return struct.pack(">II32sII", ENABLED if active else DISABLED, iterations, salt, start,
                       STRIPES)


class Encryption:
    """How an image is encrypted. header: LUKS's, or None."""

    def __init__(self, method, sectors, header=None):
        self.method, self.sectors, self.header = method, sectors, header

    def encrypt(self, data, host, guest):
        """Bytes that lie at an offset of the storage and are seen at an offset of the disk."""
        return self.sectors.encrypt(data, (guest if self.method == METHOD_AES else host) // SECTOR)


def aes(password):
    """The obsolete mode: the password is the key."""
    return Encryption(METHOD_AES, Sectors("cbc-plain64", password.ljust(16, b"\0")[:16]))


@functools.cache
def luks(password, form=0, slot=0):
    """A header that the password in that key slot opens; always the same bytes."""
    mode, key_bytes, digest = FORMS[form]
    rng = random.Random(form)
    key, iterations = rng.randbytes(key_bytes), 1000
    salts = [rng.randbytes(32) for _ in range(SLOTS)]
    digest_salt = rng.randbytes(32)
    payload = ALIGNMENT // SECTOR + SLOTS * _material_sectors(key_bytes)
    head = struct.pack(
        ">6sH32s32s32sII20s32sI40s", b"LUKS\xba\xbe", 1, _text("aes", 32), _text(mode, 32),
        _text(digest, 32), payload, key_bytes,
        hashlib.pbkdf2_hmac(digest, key, digest_salt, iterations, 20), digest_salt, iterations,
        _text("2f7c1b56-0000-4000-8000-000000000000", 40))
    head += b"".join(_slot(i, i == slot, iterations if i == slot else 0, salts[i], key_bytes)
                     for i in range(SLOTS))
    header = bytearray(payload * SECTOR)
    header[:len(head)] = head
    slot_key = hashlib.pbkdf2_hmac(digest, password, salts[slot], iterations, key_bytes)
    material = _split(key, digest, rng)
    start = ALIGNMENT + slot * _material_sectors(key_bytes) * SECTOR
    material = Sectors(mode, slot_key).encrypt(material.ljust(-(-len(material) // SECTOR) * SECTOR,
                                                              b"\0"), 0)
    header[start:start + len(material)] = material
    return Encryption(METHOD_LUKS, Sectors(mode, key), bytes(header))
