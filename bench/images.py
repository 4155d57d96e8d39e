# SPDX-License-Identifier: LGPL-2.1-or-later
# images.py - the images that are served to be measured: made when they are first wanted.
import ctypes
import mmap
import os
import pathlib
import re
import subprocess

from servers import BUILD, Failed

LIBC = ctypes.CDLL(None, use_errno=True)
LOWEST_BITS = bytes(byte & 1 for byte in range(256))
MAKE_IMAGE = str(BUILD / "bench" / "make-image")

# Where a chain is for maps only, its data is shared: few host clusters, many tables. With
# stretches of 11 clusters, requests of 1 MiB meet two or three layers.
RANDOM = "--shared --layers=8"
SPARSE = "--shared --layers=4 --allocated=0.1"
EXTENDED = "--shared --layers=2 --extended --allocated=50"
CHAIN = "--layers=4 --stretch=11 --allocated=95 --hidden=30 --raw"
FRAGMENTED = "--layers=4 --allocated=95 --hidden=30"
DEEP = "--layers=64"

# name: (options of make-image, size, size in a quick run)
IMAGES = {
    "random": (RANDOM, "256G", "32G"),
    "sparse": (f"{SPARSE} --stretch=256", "16T", "4T"),
    "scattered": (f"{SPARSE} --stretch=16", "2T", "512G"),
    "zeros": (f"{RANDOM} --zeros=33", "64G", "16G"),
    "extended": (EXTENDED, "36G", "4G"),
    "deep-map": (f"{DEEP} --shared", "16G", "4G"),
    "deep": (DEEP, "1G", "256M"),
    "chain": (CHAIN, "2G", "512M"),
    "fragmented": (FRAGMENTED, "1G", "256M"),
    "zlib": ("--compress=zlib", "512M", "128M"),
    "zstd": ("--compress=zstd", "512M", "128M"),
    "tiny": ("", "1M", "1M"),
}


def absent_ranges(file):
    """[(first byte, end)] of what is not in the page cache: mincore(2)."""
    size = os.fstat(file).st_size
    with mmap.mmap(file, size, access=mmap.ACCESS_COPY) as mapping:
        pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
        first = ctypes.c_char.from_buffer(mapping)
        failed = LIBC.mincore(ctypes.byref(first), ctypes.c_size_t(size), pages)
        del first  # or the mapping cannot end
    if failed:
        return [(0, size)]
    return [(found.start() * mmap.PAGESIZE, min(found.end() * mmap.PAGESIZE, size))
            for found in re.finditer(b"\0+", bytes(pages).translate(LOWEST_BITS))]


def read_data(file, at, end):
    buffer = bytearray(1 << 20)
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        at += os.preadv(file, [memoryview(buffer)[:max(0, end - at)]], at)


class Image:
    """A chain of files, top first; or the flat raw file beside it."""

    def __init__(self, name, folder, options):
        self.format = "raw" if name.endswith(".raw") else "qcow2"
        self.stem = os.path.join(folder, name.removesuffix(".raw"))
        self.path = f"{self.stem}.{self.format}"
        self.make(options)
        self.files = [self.path]
        while self.format == "qcow2" and os.path.exists(self.layer(len(self.files))):
            self.files.append(self.layer(len(self.files)))

    def make(self, options):
        """Unless it is there, whole and by the same options, which a note beside it says."""
        note, words = pathlib.Path(f"{self.stem}.options"), " ".join(options)
        if note.exists() and note.read_text(encoding="utf-8") == words:
            return
        note.unlink(missing_ok=True)
        if subprocess.run([MAKE_IMAGE, *options, self.stem], check=False).returncode != 0:
            raise Failed(f"no image '{self.stem}'")
        os.sync()  # or it is written back while something is measured
        note.write_text(words, encoding="utf-8")

    def layer(self, number):
        return f"{self.stem}-{number}.qcow2"

    def flat(self):
        """The file with the same content, flat, or None."""
        path = f"{self.stem}.raw"
        return path if os.path.exists(path) else None

    def descriptors(self):
        for path in self.files:
            file = os.open(path, os.O_RDONLY)
            yield file
            os.close(file)

    def warm(self):
        """Reads what of it is not in the page cache, except holes."""
        for file in self.descriptors():
            for at, end in absent_ranges(file):
                read_data(file, at, end)

    def chill(self):
        """Drops it from the page cache."""
        for file in self.descriptors():
            os.fdatasync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


class Images:
    """All of a folder."""

    def __init__(self, folder, quick, progress):
        self.folder, self.quick, self.progress, self.made = folder, quick, progress, {}

    def options_of(self, name):
        """(options of make-image, size)"""
        options, full, quick = IMAGES[name.removesuffix(".raw")]
        return options.split(), quick if self.quick else full

    def size_of(self, name):
        """In words."""
        size = self.options_of(name)[1]
        return f"{size[:-1]} {size[-1]}iB"

    def get(self, name):
        if name not in self.made:
            options, size = self.options_of(name)
            kind = ".raw" if name.endswith(".raw") else ""
            self.progress(f"makes the image '{name}'")
            self.made[name] = Image(f"{name.removesuffix('.raw')}-{size}{kind}", self.folder,
                                    [*options, f"--size={size}"])
        return self.made[name]
