/* SPDX-License-Identifier: LGPL-2.1-or-later
 * asan-first.c - makes the address sanitizer ready before any other library of a program that it is
 * preloaded into.
 *
 * It makes itself ready in the first malloc(). In nbdkit that is one in p11-kit's constructor,
 * within newlocale(), which holds glibc's lock on locales; the sanitizer then asks for a message of
 * dlerror() and takes the lock again. From then on it is off by one, and the program waits for it
 * in exit(). So this library, linked with "-z initfirst", is the first to call malloc(). */
#include <stdlib.h>

__attribute__((constructor)) static void
make_ready(void)
{
    void *volatile block = malloc(1);

    free(block);
}
