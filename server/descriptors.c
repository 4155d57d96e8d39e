/* SPDX-License-Identifier: LGPL-2.1-or-later
 * descriptors.c - standard input, output and error, which a program may be started without. */
#include "descriptors.h"

#include <fcntl.h>
#include <unistd.h>

/* Constant when threads start. */
static gboolean was_closed[STDERR_FILENO + 1];

/* open(2) takes the lowest number that is free, and those below are there by then. */
void
descriptors_fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            was_closed[fd] = open("/dev/null", O_RDWR) == fd;
}

gboolean
descriptors_was_closed(int fd)
{
    return was_closed[fd];
}
