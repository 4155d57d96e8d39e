/* SPDX-License-Identifier: LGPL-2.1-or-later
 * log-journal.c - lines of the log as entries of the system's journal. */
#include "log-journal.h"

#include "late-systemd.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sending succeeds as well where nobody listens (sd_journal_print(3)). */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

gboolean
log_journal_is_there(void)
{
    return access(JOURNAL_SOCKET, W_OK) == 0 && late_systemd_load(NULL);
}

gboolean
log_journal_is_standard_error(void)
{
    const char *stream = g_getenv("JOURNAL_STREAM");
    g_autofree char *found = NULL;
    struct stat info;

    if (stream == NULL || fstat(STDERR_FILENO, &info) < 0)
        return FALSE;
    found = g_strdup_printf("%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
    return g_str_equal(stream, found);
}

/* Any byte may stand in a value. */
static void
append_field(const char *key, const char *value, gboolean is_number, gpointer user_data)
{
    GPtrArray *entry = user_data;
    g_autofree char *name = g_ascii_strup(key, -1);

    g_ptr_array_add(entry, g_strdup_printf("STRATA_%s=%s", name, value));
}

GPtrArray *
log_journal_entry(int priority, const char *message, const LogFields *fields)
{
    GPtrArray *entry = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(entry, g_strdup_printf("MESSAGE=%s", message));
    g_ptr_array_add(entry, g_strdup_printf("PRIORITY=%d", priority));
    g_ptr_array_add(entry, g_strdup("SYSLOG_IDENTIFIER=strata-nbd"));
    if (fields != NULL)
        log_fields_foreach(fields, append_field, entry);
    return entry;
}

gboolean
log_journal_send(const GPtrArray *entry)
{
    g_autofree struct iovec *pieces = g_new(struct iovec, entry->len);

    for (guint i = 0; i < entry->len; i++)
        pieces[i] = (struct iovec){
            .iov_base = entry->pdata[i],
            .iov_len = strlen(entry->pdata[i]),
        };
    return sd_journal_sendv(pieces, (int)entry->len) >= 0;
}
