/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-server-options.c - what options settle, in which order they may come, what is forgotten. */
#include "mem-node.h"
#include "protocol/option.h"

#include <string.h>

#define SIZE 4096
#define FLAGS                                                                              \
    (NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_CACHE | \
     NBD_FLAG_CAN_MULTI_CONN)
#define CHUNKS (FLAGS | NBD_FLAG_SEND_DF)

/* Exports "one" and "two", two graphs. */
typedef struct {
    StrataExports *exports;
    Negotiation negotiation;
} Fixture;

static void
add_export(StrataExports *exports, const char *name)
{
    g_autoptr(StrataGraph) graph = mem_graph_new(mem_node_new(name, SIZE, NULL, 0));
    g_autoptr(GError) error = NULL;

    strata_exports_add(exports, name, NULL, graph, &error);
    g_assert_no_error(error);
}

static StrataExports *
make_exports(void)
{
    StrataExports *exports = strata_exports_new();

    add_export(exports, "one");
    add_export(exports, "two");
    return exports;
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->exports = make_exports();
    negotiation_init(&fixture->negotiation, fixture->exports, NULL, FALSE);
    fixture->negotiation.fixed = TRUE;
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    negotiation_clear(&fixture->negotiation);
    strata_exports_free(fixture->exports);
}

static void
add_string(GByteArray *data, const char *text)
{
    guint32 length = GUINT32_TO_BE((guint32)strlen(text));

    g_byte_array_append(data, (const guint8 *)&length, sizeof length);
    g_byte_array_append(data, (const guint8 *)text, (guint)strlen(text));
}

/* Returns the type of the final reply; in *@out_flags, if there is one, the transmission flags. */
static guint32
send_option(Fixture *fixture, guint32 number, const GByteArray *data, guint16 *out_flags)
{
    g_autoptr(GByteArray) replies = g_byte_array_new();
    Option option = { .number = number, .replies = replies };
    guint32 type = 0;

    if (data != NULL) {
        option.data = data->data;
        option.length = data->len;
    }
    option_handle(&fixture->negotiation, &option);
    for (guint at = 0; at < replies->len;) {
        NbdOptionReplyHeader header;
        NbdInfoExport info;

        memcpy(&header, replies->data + at, sizeof header);
        at += sizeof header;
        type = GUINT32_FROM_BE(header.type);
        if (type == NBD_REP_INFO && out_flags != NULL) {
            memcpy(&info, replies->data + at, sizeof info);
            *out_flags = GUINT16_FROM_BE(info.flags);
        }
        at += GUINT32_FROM_BE(header.length);
    }
    g_free(option.complaint);
    return type;
}

static guint32
send_bare(Fixture *fixture, guint32 number)
{
    return send_option(fixture, number, NULL, NULL);
}

/* NBD_OPT_INFO or NBD_OPT_GO; returns the transmission flags. */
static guint16
flags_of(Fixture *fixture, guint32 number, const char *name)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    guint16 flags = 0;

    add_string(data, name);
    g_byte_array_append(data, (const guint8[]){ 0, 0 }, 2);
    g_assert_cmphex(send_option(fixture, number, data, &flags), ==, NBD_REP_ACK);
    return flags;
}

static void
set_context(Fixture *fixture, const char *export, const char *context)
{
    guint32 n_queries = GUINT32_TO_BE(1);
    g_autoptr(GByteArray) data = g_byte_array_new();

    add_string(data, export);
    g_byte_array_append(data, (const guint8 *)&n_queries, sizeof n_queries);
    add_string(data, context);
    g_assert_cmphex(send_option(fixture, NBD_OPT_SET_META_CONTEXT, data, NULL), ==, NBD_REP_ACK);
}

static void
test_modes(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GByteArray) byte = g_byte_array_new();

    g_byte_array_append(byte, (const guint8 *)"x", 1);
    g_assert_cmphex(send_option(fixture, NBD_OPT_EXTENDED_HEADERS, byte, NULL), ==,
                    NBD_REP_ERR_INVALID);
    g_assert_cmpint(fixture->negotiation.mode, ==, MODE_SIMPLE);
    g_assert_cmphex(send_bare(fixture, NBD_OPT_STRUCTURED_REPLY), ==, NBD_REP_ACK);
    g_assert_cmphex(send_bare(fixture, NBD_OPT_STRUCTURED_REPLY), ==, NBD_REP_ERR_INVALID);
    g_assert_cmpint(fixture->negotiation.mode, ==, MODE_STRUCTURED);
    g_assert_cmphex(send_bare(fixture, NBD_OPT_EXTENDED_HEADERS), ==, NBD_REP_ACK);
    g_assert_cmphex(send_bare(fixture, NBD_OPT_EXTENDED_HEADERS), ==, NBD_REP_ERR_INVALID);
    g_assert_cmphex(send_bare(fixture, NBD_OPT_STRUCTURED_REPLY), ==, NBD_REP_ERR_EXT_HEADER_REQD);
    g_assert_cmpint(fixture->negotiation.mode, ==, MODE_EXTENDED);
}

static void
test_flags(Fixture *fixture, gconstpointer data)
{
    g_assert_cmphex(flags_of(fixture, NBD_OPT_INFO, "one"), ==, FLAGS);
    send_bare(fixture, NBD_OPT_STRUCTURED_REPLY);
    set_context(fixture, "one", "base:allocation");
    g_assert_cmphex(flags_of(fixture, NBD_OPT_INFO, "one"), ==, CHUNKS);
    send_bare(fixture, NBD_OPT_EXTENDED_HEADERS);
    g_assert_cmphex(flags_of(fixture, NBD_OPT_INFO, "two"), ==,
                    CHUNKS | NBD_FLAG_BLOCK_STATUS_PAYLOAD);
    g_assert_cmphex(flags_of(fixture, NBD_OPT_GO, "one"), ==,
                    CHUNKS | NBD_FLAG_BLOCK_STATUS_PAYLOAD);
    g_assert_cmpuint(fixture->negotiation.contexts->len, ==, 1);
}

static void
test_contexts_of_another_export(Fixture *fixture, gconstpointer data)
{
    send_bare(fixture, NBD_OPT_EXTENDED_HEADERS);
    set_context(fixture, "one", "base:allocation");
    g_assert_cmphex(flags_of(fixture, NBD_OPT_GO, "two"), ==, CHUNKS);
    g_assert_null(fixture->negotiation.contexts);
}

/* It is the name that counts, wherever it leads. */
static void
test_contexts_of_another_name(Fixture *fixture, gconstpointer data)
{
    send_bare(fixture, NBD_OPT_EXTENDED_HEADERS);
    set_context(fixture, "one", "base:allocation");
    g_assert_cmphex(flags_of(fixture, NBD_OPT_GO, "one@one"), ==, CHUNKS);
    g_assert_null(fixture->negotiation.contexts);
}

/* The exports were read anew in between: what is served is what the contexts tell of. */
static void
test_exports_read_anew(Fixture *fixture, gconstpointer data)
{
    StrataExports *before = fixture->exports;
    const Context *context;

    send_bare(fixture, NBD_OPT_EXTENDED_HEADERS);
    set_context(fixture, "one", "strata:only:one");
    fixture->negotiation.exports = fixture->exports = make_exports();
    g_assert_cmphex(flags_of(fixture, NBD_OPT_GO, "one"), ==,
                    CHUNKS | NBD_FLAG_BLOCK_STATUS_PAYLOAD);
    context = fixture->negotiation.contexts->pdata[0];
    g_assert_true(context->node == fixture->negotiation.view->node);
    strata_exports_free(before);
}

static void
test_reset(Fixture *fixture, gconstpointer data)
{
    Negotiation *negotiation = &fixture->negotiation;

    negotiation->no_zeroes = TRUE;
    send_bare(fixture, NBD_OPT_EXTENDED_HEADERS);
    set_context(fixture, "one", "base:allocation");
    negotiation_reset(negotiation);
    g_assert_cmpint(negotiation->mode, ==, MODE_SIMPLE);
    g_assert_null(negotiation->contexts);
    g_assert_null(negotiation->meta_view);
    g_assert_null(negotiation->meta_export);
    g_assert_true(negotiation->fixed);
    g_assert_true(negotiation->no_zeroes);
    g_assert_true(negotiation->exports == fixture->exports);
    g_assert_cmphex(flags_of(fixture, NBD_OPT_GO, "one"), ==, FLAGS);
}

#define ADD(path, test) g_test_add("/options/" path, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("modes", test_modes);
    ADD("flags", test_flags);
    ADD("contexts-of-another-export", test_contexts_of_another_export);
    ADD("contexts-of-another-name", test_contexts_of_another_name);
    ADD("exports-read-anew", test_exports_read_anew);
    ADD("reset", test_reset);
    return g_test_run();
}
