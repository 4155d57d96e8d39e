# SPDX-License-Identifier: LGPL-2.1-or-later
# compressors.py - compresses a cluster as qcow2 wants it: raw deflate, or a zstd frame.
import ctypes
import functools
import zlib

DEFLATE, ZSTD = 0, 1  # compression_type of the header


@functools.cache
def _libzstd():
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compressBound.restype = ctypes.c_size_t
    library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    library.ZSTD_compress.restype = ctypes.c_size_t
    library.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                      ctypes.c_size_t, ctypes.c_int]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return library


def _zstd(data, level):
    library = _libzstd()
    room = library.ZSTD_compressBound(len(data))
    frame = ctypes.create_string_buffer(room)
    size = library.ZSTD_compress(frame, room, data, len(data), level)
    assert not library.ZSTD_isError(size)
    return frame.raw[:size]


def _deflate(data, level):
    """QEMU reads with a window of 4 KiB, so nothing may refer farther back than that."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -12)
    return stream.compress(data) + stream.flush()


def compress(kind, data, level):
    return _zstd(data, level) if kind == ZSTD else _deflate(data, level)
