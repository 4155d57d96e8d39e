/* SPDX-License-Identifier: LGPL-2.1-or-later
 * qemu-options.c - what to do instead of the options of qemu-nbd that strata-nbd does not have.
 * DIFFERENCES in strata-nbd(8) lists the same. */
#include "qemu-options.h"

#define NO_CACHE  "leave it out, images are read through the host's page cache"
#define NO_WRITES "leave it out, strata-nbd never writes"
#define NO_KERNEL "it serves no kernel device, use nbd-client with its socket"

const QemuOption qemu_options[] = {
    { "aio", '\0', "leave it out, requests are carried out by threads" },
    { "cache", '\0', NO_CACHE },
    { "connect", 'c', NO_KERNEL },
    { "detect-zeroes", '\0', NO_WRITES },
    { "discard", '\0', NO_WRITES },
    { "disconnect", 'd', NO_KERNEL },
    { "fork", '\0', "run it in the background with '&' and wait for its --pid-file" },
    { "list", 'L', "use nbdinfo --list" },
    { "nocache", 'n', NO_CACHE },
    { "offset", 'o', "use --image-opts with driver=raw,offset=NUM and the image as its file" },
    { "partition", 'P',
      "use --image-opts with driver=raw,offset=NUM,size=NUM and the image as its file" },
    { "selinux-label", '\0', "set the label with runcon(1)" },
    { "snapshot", 's',
      "leave it out, strata-nbd never writes; for a writable view use nbdkit's "
      "cow filter with nbdkit-strata-plugin" },
    { "tls-creds", '\0',
      "name its folder with --tls-certificates or the file of keys with --tls-psk" },
    { "tls-hostname", '\0', "leave it out, it is about the server that qemu-nbd --list asks" },
    { "trace", 'T', "use --verbose" },
};

const gsize qemu_options_count = G_N_ELEMENTS(qemu_options);
