/* SPDX-License-Identifier: LGPL-2.1-or-later
 * config.c - the configuration file of strata-nbd: a key file, one group per export. */
#include "config.h"

#include "config-object.h"
#include "key-file.h"

#include <stddef.h>

/* The reading of one file. */
typedef struct {
    KeyFile file;
    GHashTable *names; /* export name -> group */
    Config *config;
} Reading;

/* One group, while it becomes an export. */
typedef struct {
    const Reading *reading;
    const char *group;
    Export *export;       /* owned */
    StrataPolicy *policy; /* owned; how its image may be opened */
    char *image;          /* these are owned; NULL: not given */
    char *image_opts;
    char *format;
    char *load_snapshot;
} Draft;

typedef enum {
    KEY_COMMON = 1, /* may stand in the group of defaults */
    KEY_IMAGE = 2,  /* another value makes it another image */
} KeyTraits;

typedef struct {
    const char *name;
    int traits; /* KeyTraits */
    gboolean (*read)(Draft *draft, const char *key, gpointer member, GError **error);
    gsize member; /* of Draft, for what reads one */
} Key;

static void
reading_clear(Reading *reading)
{
    key_file_clear(&reading->file);
    g_clear_pointer(&reading->names, g_hash_table_unref);
    g_clear_pointer(&reading->config, config_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reading, reading_clear)

static void
draft_clear(Draft *draft)
{
    g_clear_pointer(&draft->export, export_unref);
    g_clear_pointer(&draft->policy, strata_policy_unref);
    g_free(draft->image);
    g_free(draft->image_opts);
    g_free(draft->format);
    g_free(draft->load_snapshot);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Draft, draft_clear)

void
config_free(Config *config)
{
    g_ptr_array_unref(config->exports);
    g_ptr_array_unref(config->files);
    g_ptr_array_unref(config->folders);
    g_ptr_array_unref(config->objects);
    g_free(config);
}

/* Puts where @key stands in front of what @error says. Returns FALSE. */
static gboolean
say_where(const Draft *draft, const char *key, GError **error)
{
    return key_file_say_where(&draft->reading->file, draft->group, key, error);
}

/* -- What the keys mean -- */

static gboolean
read_name(Draft *draft, const char *key, gpointer member, GError **error)
{
    return key_file_get_name(&draft->reading->file, draft->group, key, member, error);
}

static gboolean
read_access(Draft *draft, const char *key, gpointer member, GError **error)
{
    g_auto(GStrv) words = NULL;

    if (!key_file_get_list(&draft->reading->file, draft->group, key, &words, error))
        return FALSE;
    if (words == NULL)
        return TRUE;
    draft->export->access = access_rules_new((const char *const *)words, error);
    return draft->export->access != NULL || say_where(draft, key, error);
}

static gboolean
check_bitmap_words(const Draft *draft, const char *key, char **words, GError **error)
{
    for (char **word = words; word != NULL && *word != NULL && words[1] != NULL; word++)
        if (g_str_equal(*word, "all") || g_str_equal(*word, "none"))
            return key_file_throw(&draft->reading->file, draft->group, key, error,
                                  "'%s' stands alone, or else there are the names of bitmaps",
                                  *word);
    return TRUE;
}

/* "all" and "none" stand alone. */
static gboolean
read_bitmaps(Draft *draft, const char *key, gpointer member, GError **error)
{
    Export *export = draft->export;
    gboolean is_one;

    if (!key_file_get_list(&draft->reading->file, draft->group, key, &export->bitmaps, error) ||
        !check_bitmap_words(draft, key, export->bitmaps, error))
        return FALSE;
    is_one = export->bitmaps != NULL && g_strv_length(export->bitmaps) == 1;
    if (is_one && g_str_equal(*export->bitmaps, "all"))
        g_clear_pointer(&export->bitmaps, g_strfreev);
    else if (is_one && g_str_equal(*export->bitmaps, "none"))
        g_clear_pointer(&export->bitmaps[0], g_free);
    return TRUE;
}

static gboolean
read_description(Draft *draft, const char *key, gpointer member, GError **error)
{
    char **text = &draft->export->description;

    return key_file_get_text(&draft->reading->file, draft->group, key, text, error) &&
           (*text == NULL || export_check_string("description", *text, error) ||
            say_where(draft, key, error));
}

static gboolean
read_layers(Draft *draft, const char *key, gpointer member, GError **error)
{
    gboolean layers = TRUE;

    if (!key_file_get_switch(&draft->reading->file, draft->group, key, &layers, error))
        return FALSE;
    draft->export->hides_layers = !layers;
    return TRUE;
}

static gboolean
read_on_demand(Draft *draft, const char *key, gpointer member, GError **error)
{
    return key_file_get_switch(&draft->reading->file, draft->group, key, &draft->export->on_demand,
                               error);
}

static gboolean
apply(Draft *draft, const char *key, const char *value, GError **error)
{
    return strata_policy_apply(draft->policy, key, value, error) || say_where(draft, key, error);
}

static gboolean
read_policy_text(Draft *draft, const char *key, gpointer member, GError **error)
{
    g_autofree char *value = NULL;

    return read_name(draft, key, &value, error) &&
           (value == NULL || apply(draft, key, value, error));
}

static gboolean
read_policy_switch(Draft *draft, const char *key, gpointer member, GError **error)
{
    gboolean value = FALSE;

    return key_file_get_switch(&draft->reading->file, draft->group, key, &value, error) &&
           apply(draft, key, value ? "on" : "off", error);
}

/* Makes one value what the policy takes. */
static char *
settle_value(const Draft *draft, const char *key, const char *value, GError **error)
{
    const char *directory = draft->reading->file.directory;
    Config *config = draft->reading->config;
    char *settled;

    if (g_str_equal(key, "allow")) {
        settled =
            g_path_is_absolute(value) ? g_strdup(value) : g_build_filename(directory, value, NULL);
        g_ptr_array_add(config->folders, g_strdup(settled));
        return settled;
    }
    if (!g_str_equal(key, "object"))
        return g_strdup(value);
    settled = config_object_settle(value, directory, config->files, error);
    if (settled != NULL)
        g_ptr_array_add(config->objects, g_strdup(settled));
    else
        say_where(draft, key, error);
    return settled;
}

static gboolean
read_policy_list(Draft *draft, const char *key, gpointer member, GError **error)
{
    g_auto(GStrv) values = NULL;

    if (!key_file_get_list(&draft->reading->file, draft->group, key, &values, error))
        return FALSE;
    for (char **value = values; value != NULL && *value != NULL; value++) {
        g_autofree char *settled = settle_value(draft, key, *value, error);

        if (settled == NULL || !apply(draft, key, settled, error))
            return FALSE;
    }
    return TRUE;
}

static const Key keys[] = {
    { "access", KEY_COMMON, read_access, 0 },
    { "allow", KEY_COMMON | KEY_IMAGE, read_policy_list, 0 },
    { "allow-protocols", KEY_COMMON | KEY_IMAGE, read_policy_list, 0 },
    { "backing-format", KEY_COMMON | KEY_IMAGE, read_policy_text, 0 },
    { "bitmaps", KEY_IMAGE, read_bitmaps, 0 },
    { "description", 0, read_description, 0 },
    { "force-share", KEY_COMMON | KEY_IMAGE, read_policy_switch, 0 },
    { "format", KEY_COMMON | KEY_IMAGE, read_name, offsetof(Draft, format) },
    { "image", KEY_IMAGE, read_name, offsetof(Draft, image) },
    { "image-opts", KEY_IMAGE, read_name, offsetof(Draft, image_opts) },
    { "layers", KEY_COMMON, read_layers, 0 },
    { "load-snapshot", KEY_IMAGE, read_name, offsetof(Draft, load_snapshot) },
    { "metadata-cache", KEY_COMMON | KEY_IMAGE, read_policy_text, 0 },
    { "name", 0, NULL, 0 }, /* read first: what the export is called */
    { "object", KEY_COMMON | KEY_IMAGE, read_policy_list, 0 },
    { "on-demand", KEY_COMMON | KEY_IMAGE, read_on_demand, 0 },
    { "probe", KEY_COMMON | KEY_IMAGE, read_policy_switch, 0 },
};

/* -- Which keys there are -- */

static int
traits_of(const char *key)
{
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (g_str_equal(keys[i].name, key))
            return keys[i].traits;
    return -1;
}

static char *
list_keys(gboolean is_defaults)
{
    g_autoptr(GString) list = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (!is_defaults || (keys[i].traits & KEY_COMMON))
            g_string_append_printf(list, "%s%s", list->len > 0 ? ", " : "", keys[i].name);
    return g_string_free(g_steal_pointer(&list), FALSE);
}

static gboolean
check_keys(const Reading *reading, const char *group, GError **error)
{
    gboolean is_defaults = g_str_equal(group, KEY_FILE_DEFAULTS);
    g_auto(GStrv) there = g_key_file_get_keys(reading->file.keys, group, NULL, NULL);
    g_autofree char *list = list_keys(is_defaults);

    for (char **key = there; *key != NULL; key++) {
        int traits = traits_of(*key);
        g_autofree char *shown = strata_escape(*key);

        if (traits < 0)
            return key_file_throw(&reading->file, group, NULL, error,
                                  "there is no key '%s'; there are %s", shown, list);
        if (is_defaults && !(traits & KEY_COMMON))
            return key_file_throw(&reading->file, group, NULL, error,
                                  "'%s' is different for each export; what can be the same is %s",
                                  shown, list);
    }
    return TRUE;
}

/* -- Exports -- */

/* Where the image is: the one key or the other. */
static gboolean
check_image(const Draft *draft, GError **error)
{
    const KeyFile *file = &draft->reading->file;

    if (draft->image == NULL && draft->image_opts == NULL)
        return key_file_throw(file, draft->group, NULL, error,
                              "there is no key 'image' or 'image-opts'");
    if (draft->image != NULL && draft->image_opts != NULL)
        return key_file_throw(file, draft->group, "image-opts", error,
                              "it does not go with 'image': both say which image is served");
    if (draft->image_opts != NULL && g_key_file_has_key(file->keys, draft->group, "format", NULL))
        return key_file_throw(file, draft->group, "format", error,
                              "it does not go with 'image-opts': write driver=FORMAT there");
    return TRUE;
}

static gboolean
make_image(Draft *draft, GError **error)
{
    gboolean has_opts = draft->image_opts != NULL;
    const ImageSettings settings = {
        .image = has_opts ? draft->image_opts : draft->image,
        .format = has_opts ? NULL : draft->format,
        .image_opts = has_opts,
        .directory = draft->reading->file.directory,
        .load_snapshot = draft->load_snapshot,
        .bitmaps = draft->export->bitmaps,
        .snapshot_word = "load-snapshot",
        .bitmaps_word = "bitmaps",
    };

    if (!check_image(draft, error))
        return FALSE;
    draft->export->image = image_new(&settings, draft->policy, error);
    return draft->export->image != NULL ||
           say_where(draft, has_opts ? "image-opts" : "image", error);
}

/* All that makes the image what it is, in a text. */
static char *
describe_image(const Draft *draft)
{
    const KeyFile *file = &draft->reading->file;
    g_autoptr(GString) text = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *where = key_file_find_group(file, draft->group, keys[i].name);
        g_autofree char *value = NULL;

        if (!(keys[i].traits & KEY_IMAGE) || where == NULL)
            continue;
        value = g_key_file_get_value(file->keys, where, keys[i].name, NULL);
        g_string_append_printf(text, "%s=%s\n", keys[i].name, value);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Names the export of @draft, as no other is named. */
static gboolean
name_export(Draft *draft, GError **error)
{
    const Reading *reading = draft->reading;
    g_autofree char *name = NULL;
    g_autofree char *shown = NULL;
    const char *other;

    if (!key_file_get_text(&reading->file, draft->group, "name", &name, error))
        return FALSE;
    draft->export = export_new(name != NULL ? name : draft->group);
    shown = strata_escape(draft->export->name);
    other = g_hash_table_lookup(reading->names, draft->export->name);
    if (other != NULL)
        return key_file_throw(&reading->file, draft->group, NULL, error,
                              "the export name \"%s\" is that of [%s], too", shown, other);
    if (!export_check_string("export name", draft->export->name, error))
        return key_file_say_where(&reading->file, draft->group, NULL, error);
    g_hash_table_insert(reading->names, g_strdup(draft->export->name), g_strdup(draft->group));
    return TRUE;
}

/* Returns: (transfer full): the export that @group is about, not open */
static Export *
read_export(const Reading *reading, const char *group, GError **error)
{
    g_auto(Draft) draft = {
        .reading = reading,
        .group = group,
        .policy = strata_policy_new(),
    };

    if (!check_keys(reading, group, error) || !name_export(&draft, error))
        return NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (keys[i].read != NULL &&
            !keys[i].read(&draft, keys[i].name, G_STRUCT_MEMBER_P(&draft, keys[i].member), error))
            return NULL;
    if (!make_image(&draft, error))
        return NULL;
    draft.export->settings = describe_image(&draft);
    return g_steal_pointer(&draft.export);
}

static void
note_files(const Reading *reading, const Export *export)
{
    g_auto(GStrv) files = image_list_filenames(export->image);

    for (char **file = files; *file != NULL; file++)
        g_ptr_array_add(reading->config->files, g_strdup(*file));
}

static gboolean
read_groups(const Reading *reading, GError **error)
{
    g_auto(GStrv) groups = g_key_file_get_groups(reading->file.keys, NULL);

    for (char **group = groups; *group != NULL; group++) {
        Export *export;

        if (g_str_equal(*group, KEY_FILE_DEFAULTS)) {
            if (!check_keys(reading, *group, error))
                return FALSE;
            continue;
        }
        export = read_export(reading, *group, error);
        if (export == NULL)
            return FALSE;
        g_ptr_array_add(reading->config->exports, export);
        note_files(reading, export);
    }
    return TRUE;
}

/* Whoever saves a file empties it for a moment; to serve nothing is nobody's wish. */
static gboolean
check_not_empty(const Reading *reading, GError **error)
{
    return reading->config->exports->len > 0 ||
           key_file_throw(&reading->file, NULL, NULL, error,
                          "there is no export in it: expected at least one group besides "
                          "[" KEY_FILE_DEFAULTS
                          "], as in \"[disk]\" and below it \"image = disk.qcow2\"");
}

static Config *
config_new(void)
{
    Config *config = g_new0(Config, 1);

    config->exports = g_ptr_array_new_with_free_func((GDestroyNotify)export_unref);
    config->files = g_ptr_array_new_with_free_func(g_free);
    config->folders = g_ptr_array_new_with_free_func(g_free);
    config->objects = g_ptr_array_new_with_free_func(g_free);
    return config;
}

Config *
config_read(const char *path, GError **error)
{
    g_auto(Reading) reading = {
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .config = config_new(),
    };

    g_ptr_array_add(reading.config->files, g_strdup(path));
    return key_file_load(&reading.file, path, error) && read_groups(&reading, error) &&
                   check_not_empty(&reading, error)
               ? g_steal_pointer(&reading.config)
               : NULL;
}
