/* SPDX-License-Identifier: LGPL-2.1-or-later
 * proto-names.c - protocol numbers as words, for messages, and how long these may be. */
#include "proto.h"

#include <string.h>

typedef struct {
    guint32 number;
    const char *name;
} NumberName;

static const NumberName option_names[] = {
    { NBD_OPT_EXPORT_NAME, "NBD_OPT_EXPORT_NAME" },
    { NBD_OPT_ABORT, "NBD_OPT_ABORT" },
    { NBD_OPT_LIST, "NBD_OPT_LIST" },
    { NBD_OPT_PEEK_EXPORT, "NBD_OPT_PEEK_EXPORT" },
    { NBD_OPT_STARTTLS, "NBD_OPT_STARTTLS" },
    { NBD_OPT_INFO, "NBD_OPT_INFO" },
    { NBD_OPT_GO, "NBD_OPT_GO" },
    { NBD_OPT_STRUCTURED_REPLY, "NBD_OPT_STRUCTURED_REPLY" },
    { NBD_OPT_LIST_META_CONTEXT, "NBD_OPT_LIST_META_CONTEXT" },
    { NBD_OPT_SET_META_CONTEXT, "NBD_OPT_SET_META_CONTEXT" },
    { NBD_OPT_EXTENDED_HEADERS, "NBD_OPT_EXTENDED_HEADERS" },
};

static const NumberName command_names[] = {
    { NBD_CMD_READ, "NBD_CMD_READ" },
    { NBD_CMD_WRITE, "NBD_CMD_WRITE" },
    { NBD_CMD_DISC, "NBD_CMD_DISC" },
    { NBD_CMD_FLUSH, "NBD_CMD_FLUSH" },
    { NBD_CMD_TRIM, "NBD_CMD_TRIM" },
    { NBD_CMD_CACHE, "NBD_CMD_CACHE" },
    { NBD_CMD_WRITE_ZEROES, "NBD_CMD_WRITE_ZEROES" },
    { NBD_CMD_BLOCK_STATUS, "NBD_CMD_BLOCK_STATUS" },
    { NBD_CMD_RESIZE, "NBD_CMD_RESIZE" },
};

static const NumberName error_names[] = {
    { NBD_EPERM, "EPERM" },     { NBD_EIO, "EIO" },
    { NBD_ENOMEM, "ENOMEM" },   { NBD_EINVAL, "EINVAL" },
    { NBD_ENOSPC, "ENOSPC" },   { NBD_EOVERFLOW, "EOVERFLOW" },
    { NBD_ENOTSUP, "ENOTSUP" }, { NBD_ESHUTDOWN, "ESHUTDOWN" },
};

static const char *
find_name(const NumberName *names, gsize n_names, guint32 number, const char *kind)
{
    static _Thread_local char unnamed[32];

    for (gsize i = 0; i < n_names; i++)
        if (names[i].number == number)
            return names[i].name;
    g_snprintf(unnamed, sizeof unnamed, "%s %u", kind, number);
    return unnamed;
}

const char *
proto_option_name(guint32 option)
{
    return find_name(option_names, G_N_ELEMENTS(option_names), option, "option");
}

const char *
proto_command_name(guint16 type)
{
    return find_name(command_names, G_N_ELEMENTS(command_names), type, "command");
}

guint16
proto_string_length(const char *text)
{
    gsize length = strlen(text);
    const char *end;

    if (length <= NBD_MAX_STRING)
        return (guint16)length;
    end = g_utf8_find_prev_char(text, text + NBD_MAX_STRING + 1); /* a character may begin there */
    return end != NULL ? (guint16)(end - text) : 0;
}

const char *
proto_error_name(guint32 error)
{
    return find_name(error_names, G_N_ELEMENTS(error_names), error, "error");
}
