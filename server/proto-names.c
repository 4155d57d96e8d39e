/* SPDX-License-Identifier: LGPL-2.1-or-later
 * proto-names.c - protocol numbers as words, for messages. */
#include "proto.h"

typedef struct {
    guint32 number;
    const char *name;
} NumberName;

static const NumberName option_names[] = {
    { NBD_OPT_EXPORT_NAME, "NBD_OPT_EXPORT_NAME" },
    { NBD_OPT_ABORT, "NBD_OPT_ABORT" },
    { NBD_OPT_LIST, "NBD_OPT_LIST" },
    { NBD_OPT_STARTTLS, "NBD_OPT_STARTTLS" },
    { NBD_OPT_INFO, "NBD_OPT_INFO" },
    { NBD_OPT_GO, "NBD_OPT_GO" },
    { NBD_OPT_STRUCTURED_REPLY, "NBD_OPT_STRUCTURED_REPLY" },
    { NBD_OPT_LIST_META_CONTEXT, "NBD_OPT_LIST_META_CONTEXT" },
    { NBD_OPT_SET_META_CONTEXT, "NBD_OPT_SET_META_CONTEXT" },
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
