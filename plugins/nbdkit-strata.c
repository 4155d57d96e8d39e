/* SPDX-License-Identifier: LGPL-2.1-or-later
 * nbdkit-strata.c - the callbacks of nbdkit-strata-plugin: nbdkit-plugin(3) above, views.h and
 * companion.h below. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdio.h>
#include <strata/strata.h>
#include <string.h>

#include "companion.h"
#include "views.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* NBD's default limits; requests of any size and alignment are served. */
#define MINIMUM_BLOCK   1
#define PREFERRED_BLOCK 4096
#define MAXIMUM_BLOCK   (32 * 1024 * 1024)

/* An answer of block status is bounded; a client asks again from where it ends. */
#define MAX_EXTENTS 65536

/* What the command line says. The strings are nbdkit's and live as long as the plugin. */
static struct {
    const char *file;
    const char *spec;
    const char *format;
    const char *description;
    const char *snapshot;
    StrataPolicy *policy; /* owned */
} config;

/* Opened in get_ready, before nbdkit drops its rights and changes its directory; the same for all
 * connections. */
static StrataGraph *graph;

/* Prints the sentence, and gives the client of a data command the errno: what cannot be read is
 * EIO, whatever the reason (strata-security(7)). Returns -1. */
static int
report(const GError *error)
{
    nbdkit_error("%s", error->message);
    nbdkit_set_error(EIO);
    return -1;
}

static void
plugin_load(void)
{
    config.policy = strata_policy_new();
}

static void
plugin_unload(void)
{
    companion_stop();
    g_clear_pointer(&graph, strata_graph_unref);
    g_clear_pointer(&config.policy, strata_policy_unref);
}

static int
set_once(const char **setting, const char *key, const char *value)
{
    if (*setting != NULL) {
        nbdkit_error("%s= is given twice: '%s' and '%s'", key, *setting, value);
        return -1;
    }
    *setting = value;
    return 0;
}

static int
refuse_key(const char *key)
{
    if (strcmp(key, "driver") == 0 || strchr(key, '.') != NULL)
        nbdkit_error("unknown parameter '%s'; image options are written as one text: "
                     "spec=driver=...,file.driver=...",
                     key);
    else
        nbdkit_error("unknown parameter '%s'; 'nbdkit strata --help' lists them", key);
    return -1;
}

/* Words that are kept as they are. */
static const struct {
    const char *key;
    const char **setting;
} texts[] = {
    { "file", &config.file },         { "spec", &config.spec },
    { "format", &config.format },     { "description", &config.description },
    { "snapshot", &config.snapshot },
};

static int
plugin_config(const char *key, const char *value)
{
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(key, texts[i].key) == 0)
            return set_once(texts[i].setting, key, value);
    if (strata_policy_knows(key)) /* given again, it adds to what was said or replaces it */
        return strata_policy_apply(config.policy, key, value, &error) ? 0 : report(error);
    if (strcmp(key, "contexts") == 0)
        return companion_set_address(value, &error) ? 0 : report(error);
    return refuse_key(key);
}

static int
plugin_config_complete(void)
{
    if ((config.file == NULL) == (config.spec == NULL)) {
        nbdkit_error("give one image: either [file=]IMAGE or spec=SPEC%s",
                     config.file != NULL ? ", not both" : "");
        return -1;
    }
    return 0;
}

#define CONFIG_HELP                                                                       \
    "[file=]IMAGE           (or spec=) The topmost image.\n"                              \
    "spec=SPEC              (or file=) A graph of images: json:{\"driver\":...} or\n"     \
    "                       driver=...,file.driver=... as in qemu-img --image-opts.\n"    \
    "format=FORMAT          Format of the topmost image: luks, qcow2 or raw.\n"           \
    "backing-format=FORMAT  For backing files whose overlay names no format.\n"           \
    "probe=BOOL             Recognise the format of such backing files: only for\n"       \
    "                       images that you trust.\n"                                     \
    "allow=DIR              Image headers may name files beneath DIR too (repeatable).\n" \
    "allow-protocols=LIST   Image headers may name other things than files: nbd.\n"       \
    "object=OBJECT          Lend a key or credentials: secret,id=ID,file=PATH and\n"      \
    "                       others (repeatable).\n"                                       \
    "snapshot=NAME          The topmost image as it was at this internal snapshot.\n"     \
    "force-share=BOOL       Open images that somebody writes to, too.\n"                  \
    "metadata-cache=SIZE    Memory for the tables of images (default: 32M).\n"            \
    "contexts=ADDRESS       Also serve all metadata contexts, such as\n"                  \
    "                       qemu:allocation-depth, at unix:PATH, tcp:[HOST:]PORT or\n"    \
    "                       vsock:[CID:]PORT.\n"                                          \
    "description=TEXT       Description of the default export."

static void
plugin_dump(void)
{
    printf("strata_version=%s\n", STRATA_VERSION);
    printf("strata_exports=@NODE only@NODE above@NODE\n");
    printf("strata_contexts=unix tcp vsock\n");
    printf("strata_formats=luks qcow2 raw\n");
    printf("strata_protocols=file nbd\n");
}

/* The syntaxes are told apart by the word that every JSON spec begins with. */
static StrataSpec *
parse_spec(GError **error)
{
    if (config.file != NULL)
        return strata_spec_parse(config.file, STRATA_SPEC_FILENAME, config.format, error);
    if (g_str_has_prefix(config.spec, "json:"))
        return strata_spec_parse(config.spec, STRATA_SPEC_FILENAME, config.format, error);
    return strata_spec_parse(config.spec, STRATA_SPEC_IMAGE_OPTS, config.format, error);
}

static StrataGraph *
open_graph(GError **error)
{
    g_autoptr(StrataSpec) spec = parse_spec(error);
    g_autoptr(StrataGraph) today =
        spec != NULL ? strata_graph_open(spec, config.policy, error) : NULL;

    if (today == NULL || config.snapshot == NULL)
        return g_steal_pointer(&today);
    return strata_node_open_snapshot(strata_graph_get_top(today), config.snapshot, error);
}

static int
plugin_get_ready(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = NULL;

    graph = open_graph(&error);
    if (graph == NULL || !companion_listen(graph, config.description, &error))
        return report(error);

    uri = companion_get_uri();
    if (uri != NULL)
        nbdkit_debug("all contexts are served at %s", uri);
    return 0;
}

static int
plugin_after_fork(void)
{
    g_autoptr(GError) error = NULL;

    return companion_start(&error) ? 0 : report(error);
}

static void
plugin_cleanup(void)
{
    companion_stop();
}

static const char *
get_description(const char *name, View *view)
{
    if (*name == '\0' && config.description != NULL)
        return config.description;
    return view_get_description(view);
}

static int
list_export(struct nbdkit_exports *exports, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(View) view = view_open(graph, name, &error);

    if (view == NULL)
        return report(error);
    return nbdkit_add_export(exports, name, get_description(name, view));
}

static int
plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    g_autoptr(GPtrArray) names = view_list_names(graph);

    for (guint i = 0; i < names->len; i++)
        if (list_export(exports, names->pdata[i]) == -1)
            return -1;
    return 0;
}

static void *
plugin_open(int readonly)
{
    g_autoptr(GError) error = NULL;
    const char *name = nbdkit_export_name();
    View *view;

    if (name == NULL)
        return NULL;
    view = view_open(graph, name, &error);
    if (view == NULL)
        report(error);
    return view;
}

static void
plugin_close(void *handle)
{
    view_free(handle);
}

static const char *
plugin_export_description(void *handle)
{
    const char *name = nbdkit_export_name();

    return get_description(name != NULL ? name : "", handle);
}

static int64_t
plugin_get_size(void *handle)
{
    guint64 size = view_get_size(handle);

    if (size > G_MAXINT64) {
        nbdkit_error("the image has %" G_GUINT64_FORMAT " bytes, more than NBD can serve", size);
        return -1;
    }
    return (int64_t)size;
}

static int
plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    *minimum = MINIMUM_BLOCK;
    *preferred = PREFERRED_BLOCK;
    *maximum = MAXIMUM_BLOCK;
    return 0;
}

/* All connections read the same files, which nobody writes. */
static int
plugin_can_multi_conn(void *handle)
{
    return 1;
}

static int
plugin_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    g_autoptr(GError) error = NULL;

    return view_read(handle, offset, count, buffer, &error) ? 0 : report(error);
}

static int
plugin_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    g_autoptr(GError) error = NULL;

    return view_prefetch(handle, offset, count, &error) ? 0 : report(error);
}

static const uint32_t extent_types[] = {
    [VIEW_DATA] = 0,
    [VIEW_ZERO] = NBDKIT_EXTENT_ZERO,
    [VIEW_HOLE] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
};

typedef struct {
    struct nbdkit_extents *extents;
    int status; /* -1 when nbdkit refused one; it has said why */
} ExtentSink;

static gboolean
add_extent(guint64 offset, guint64 length, ViewContent content, gpointer user_data)
{
    ExtentSink *sink = user_data;

    sink->status = nbdkit_add_extent(sink->extents, offset, length, extent_types[content]);
    return sink->status == 0;
}

static int
plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
               struct nbdkit_extents *extents)
{
    g_autoptr(GError) error = NULL;
    ExtentSink sink = { .extents = extents };
    gsize max_extents = flags & NBDKIT_FLAG_REQ_ONE ? 1 : MAX_EXTENTS;

    if (!view_map(handle, offset, count, max_extents, add_extent, &sink, &error))
        return report(error);
    return sink.status;
}

static struct nbdkit_plugin plugin = {
    .name = "strata",
    .longname = "strata disk image plugin",
    .version = STRATA_VERSION,
    .description = "Serve a disk image (raw, qcow2, LUKS, chains and graphs of them), and its\n"
                   "layers one by one as the exports only@NODE and above@NODE.",
    .magic_config_key = "file",
    .config_help = CONFIG_HELP,
    .load = plugin_load,
    .unload = plugin_unload,
    .dump_plugin = plugin_dump,
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .get_ready = plugin_get_ready,
    .after_fork = plugin_after_fork,
    .cleanup = plugin_cleanup,
    .list_exports = plugin_list_exports,
    .open = plugin_open,
    .close = plugin_close,
    .export_description = plugin_export_description,
    .get_size = plugin_get_size,
    .block_size = plugin_block_size,
    .can_multi_conn = plugin_can_multi_conn,
    .pread = plugin_pread,
    .extents = plugin_extents,
    .cache = plugin_cache,
};

/* What nbdkit looks for in the module, defined by the macro. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
