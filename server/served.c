/* SPDX-License-Identifier: LGPL-2.1-or-later
 * served.c - all that strata-nbd serves by its options, opened at the start and read again later.
 *
 * A table is made whole and then put in the place of the one before. What a configuration cannot
 * say without a mistake changes nothing; an image that does not open concerns its export alone. */
#include "served.h"

#include "command-line.h"
#include "exports/carry-over.h"
#include "exports/config.h"
#include "observe/log.h"
#include "pid-file.h"
#include "reloader.h"

struct _Served {
    const Options *options;
    StrataExports *exports; /* the engine's, once it was taken */
    gboolean is_taken;
    Reloader *reloader;

    /* Of the one thread that makes tables. */
    CommandLine command_line;
    ExportTable *table; /* as it was made last */
};

/* An empty image looks like a pid file that is to be written. */
static gboolean
check_pid_file_is_no_image(const Options *options, const Export *export, GError **error)
{
    g_auto(GStrv) names = image_list_filenames(export->image);
    guint n = export->graph != NULL ? strata_graph_get_n_nodes(export->graph) : 0;

    if (options->pid_file == NULL)
        return TRUE;
    for (guint i = 0; i < n + g_strv_length(names); i++) {
        const char *filename =
            i < n ? strata_node_get_filename(strata_graph_get_node(export->graph, i))
                  : names[i - n];
        g_autofree char *shown = NULL;

        if (filename == NULL || !pid_file_is_same(options->pid_file, filename))
            continue;
        shown = strata_escape(filename);
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--pid-file names '%s', which is served; choose another path", shown);
        return FALSE;
    }
    return TRUE;
}

/* It is opened once, and then is as it was. @before: (nullable) */
static gboolean
add_command_line(const CommandLine *line, ExportTable *table, const ExportTable *before,
                 GError **error)
{
    const Options *options = line->options;
    g_autoptr(Export) export = NULL;

    if (options->image == NULL)
        return TRUE;
    if (before != NULL)
        return export_table_add(table, g_ptr_array_index(before->list, 0), error);
    export = command_line_open(line, error);
    if (export == NULL || !check_pid_file_is_no_image(options, export, error))
        return FALSE;
    if (export_table_add(table, export, error))
        return TRUE;
    options_point_to_help(error);
    return FALSE;
}

/* What is open of the same directory's files goes by the key that it had. @before: (nullable) */
static gboolean
add_directory(const CommandLine *line, ExportTable *table, const ExportTable *before,
              GError **error)
{
    if (!command_line_open_directory(line, &table->directory, error))
        return FALSE;
    if (before != NULL && before->directory != NULL &&
        directory_is_same(table->directory, before->directory)) {
        directory_unref(table->directory);
        table->directory = directory_ref(before->directory);
    }
    return TRUE;
}

static void
say_failure(const Options *options, const Export *export, GError **error)
{
    g_autofree char *file = strata_escape(options->config);
    g_autofree char *name = strata_escape(export->name);

    g_prefix_error(error, "%s: the export \"%s\": ", file, name);
}

/* Opens @export of the configuration, or takes over what is open of it. @before: (nullable): the
 * export of that name so far */
static gboolean
settle(const Options *options, Export *export, const Export *before, GError **error)
{
    if (before != NULL && carry_over_unchanged(export, before))
        return TRUE;
    if (export_open(export, error) && check_pid_file_is_no_image(options, export, error))
        return TRUE;
    say_failure(options, export, error);
    return FALSE;
}

/* An export whose image does not open goes on with the one that it had, for those who may see that
 * one and may use the export as it now is. A new one is left out. Returns whether it is served */
static gboolean
make_do(Export *export, Export *before, const GError *reason)
{
    gboolean is_served = before != NULL && carry_over_image(export, before);

    log_notice("reload", "%s; %s", reason->message,
               is_served ? "it goes on with the image that it had, for those whom the rules of "
                           "then and of now admit"
                         : "it is not served");
    return is_served;
}

/* @before: (nullable): the table so far; NULL at the start, when every failure is one of all */
static gboolean
add_config(const Options *options, ExportTable *table, const Config *config,
           const ExportTable *before, GError **error)
{
    for (guint i = 0; i < config->exports->len; i++) {
        Export *export = g_ptr_array_index(config->exports, i);
        Export *old = before != NULL ? g_hash_table_lookup(before->names, export->name) : NULL;
        g_autoptr(GError) reason = NULL;

        if (!settle(options, export, old, &reason)) {
            if (before == NULL) {
                g_propagate_error(error, g_steal_pointer(&reason));
                return FALSE;
            }
            if (!make_do(export, old, reason))
                continue;
        }
        if (!export_table_add(table, export, error)) {
            say_failure(options, export, error);
            return FALSE;
        }
    }
    return TRUE;
}

/* Returns: (transfer full): all that is served; @config: (nullable) */
static ExportTable *
make_table(const CommandLine *line, const Config *config, const ExportTable *before, GError **error)
{
    g_autoptr(ExportTable) table = export_table_new();

    if (!add_command_line(line, table, before, error) ||
        (config != NULL && !add_config(line->options, table, config, before, error)) ||
        !add_directory(line, table, before, error))
        return NULL;
    return g_steal_pointer(&table);
}

/* A configuration that is read again opens them again. */
static void
add_files(StrataGraph *graph, SandboxNeeds *needs)
{
    for (guint i = 0; i < strata_graph_get_n_nodes(graph); i++) {
        StrataNode *node = strata_graph_get_node(graph, i);

        if (g_str_equal(strata_node_get_driver(node), "file"))
            sandbox_needs_read_around(needs, strata_node_get_filename(node));
    }
}

static void
add_config_needs(const Config *config, SandboxNeeds *needs)
{
    for (guint i = 0; i < config->files->len; i++)
        sandbox_needs_read_around(needs, config->files->pdata[i]);
    for (guint i = 0; i < config->folders->len; i++)
        sandbox_needs_read(needs, config->folders->pdata[i]);
    for (guint i = 0; i < config->objects->len; i++) {
        char *object[] = { config->objects->pdata[i], NULL };

        sandbox_needs_add_objects(needs, object);
    }
}

static void
add_needs(const Options *options, const Config *config, const ExportTable *table,
          SandboxNeeds *needs)
{
    for (guint i = 0; i < table->list->len; i++) {
        const Export *export = g_ptr_array_index(table->list, i);

        if (export->graph != NULL)
            sandbox_needs_add_graph(needs, export->graph);
        if (export->graph != NULL && export->settings != NULL)
            add_files(export->graph, needs);
    }
    if (config != NULL)
        add_config_needs(config, needs);
    if (options->directory != NULL) {
        sandbox_needs_read(needs, options->directory);
        for (char **dir = options->allow; dir != NULL && *dir != NULL; dir++)
            sandbox_needs_read(needs, *dir);
    }
    if (config != NULL || (options->directory != NULL && options->allow_protocols != NULL))
        sandbox_needs_any_server(needs);
}

typedef struct {
    const Export *export;
    GHashTable *told; /* rules: one is told of once, however many exports have it */
} LackReport;

static void
tell_lack(const char *word, const char *why, gpointer user_data)
{
    LackReport *report = user_data;
    g_autofree char *shown = strata_escape(word);
    g_autofree char *name = strata_escape(report->export->name);

    if (g_hash_table_add(report->told, g_strdup(word)))
        log_notice("advice", "the export \"%s\": the access rule '%s' %s", name, shown, why);
}

/* Those of the command line were refused if nobody can meet them; a configuration may be for more
 * than one way to start the server. */
static void
tell_rules_that_nobody_meets(const Options *options, const ExportTable *table)
{
    AccessProofs proofs = tls_settings_get_proofs(&options->tls);
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < table->list->len; i++) {
        LackReport report = { .export = g_ptr_array_index(table->list, i), .told = told };

        access_rules_foreach_lack(report.export->access, &proofs, tell_lack, &report);
    }
}

/* Reads configuration and directory, and has the outcome served. */
static gboolean
read_all(Served *served, SandboxNeeds *needs, GError **error)
{
    const Options *options = served->options;
    g_autoptr(Config) config = NULL;
    g_autoptr(ExportTable) table = NULL;

    if (options->config != NULL && (config = config_read(options->config, error)) == NULL)
        return FALSE;
    table = make_table(&served->command_line, config, served->table, error);
    if (table == NULL)
        return FALSE;
    if (needs != NULL)
        add_needs(options, config, table, needs);
    strata_exports_set_table(served->exports, table);
    g_clear_pointer(&served->table, export_table_unref);
    served->table = g_steal_pointer(&table);
    tell_rules_that_nobody_meets(options, served->table);
    return TRUE;
}

/* In the thread of the reloader. */
static void
read_again(gpointer data)
{
    Served *served = data;
    g_autoptr(GError) error = NULL;

    if (read_all(served, NULL, &error))
        log_notice("reload", "read again what is served: %u export%s%s", served->table->list->len,
                   served->table->list->len == 1 ? "" : "s",
                   served->table->directory != NULL ? ", and those of the directory" : "");
    else
        log_notice("reload", "what is served stays as it was: %s", error->message);
}

Served *
served_new(const Options *options, SandboxNeeds *needs, GError **error)
{
    Served *served = g_new0(Served, 1);

    served->options = options;
    served->exports = strata_exports_new();
    served->reloader = reloader_new(read_again, served);
    if (command_line_init(&served->command_line, options, error) && read_all(served, needs, error))
        return served;
    served_free(served);
    return NULL;
}

gboolean
served_has_access_rules(const Served *served)
{
    gboolean has_rules = served->options->access != NULL;

    for (guint i = 0; i < served->table->list->len; i++)
        has_rules |= ((const Export *)served->table->list->pdata[i])->access != NULL;
    return has_rules;
}

StrataExports *
served_take_exports(Served *served)
{
    served->is_taken = TRUE;
    return served->exports;
}

gboolean
served_can_reload(const Served *served)
{
    return served->options->config != NULL || served->options->directory != NULL;
}

void
served_reload(Served *served, void (*done)(gpointer data), gpointer data)
{
    g_autoptr(GError) error = NULL;

    if (!reloader_start(served->reloader, done, data, &error))
        log_notice("reload", "what is served stays as it was: %s", error->message);
}

gboolean
served_stop(Served *served)
{
    return reloader_stop(served->reloader);
}

void
served_free(Served *served)
{
    reloader_free(served->reloader);
    if (!served->is_taken)
        strata_exports_free(served->exports);
    g_clear_pointer(&served->table, export_table_unref);
    command_line_clear(&served->command_line);
    g_free(served);
}
