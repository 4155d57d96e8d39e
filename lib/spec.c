/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec.c - the tree of nodes-to-be. Backing chains make it as deep as a graph has nodes, so nothing
 * here recurses. */
#include "spec-tree.h"

#include <string.h>

SpecValue *
spec_value_new(SpecType type, const char *text)
{
    SpecValue *value = g_new0(SpecValue, 1);

    value->type = type;
    value->text = g_strdup(text);
    return value;
}

void
spec_value_free(SpecValue *value)
{
    g_free(value->text);
    g_free(value);
}

StrataSpec *
spec_new(void)
{
    StrataSpec *spec = g_new0(StrataSpec, 1);

    spec->ref_count = 1;
    spec->options =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)spec_value_free);
    return spec;
}

StrataSpec *
strata_spec_ref(StrataSpec *spec)
{
    g_atomic_int_inc(&spec->ref_count);
    return spec;
}

/* Frees one node whose last reference is gone; its children are handed to @orphans. */
static void
free_node(StrataSpec *spec, GPtrArray *orphans)
{
    for (int role = 0; role < STRATA_N_ROLES; role++)
        if (spec->children[role])
            g_ptr_array_add(orphans, spec->children[role]);
    g_hash_table_unref(spec->options);
    g_free(spec->driver);
    g_free(spec->node_name);
    g_free(spec);
}

void
strata_spec_unref(StrataSpec *spec)
{
    g_autoptr(GPtrArray) orphans = g_ptr_array_new();

    g_ptr_array_add(orphans, spec);
    while (orphans->len) {
        StrataSpec *last = g_ptr_array_steal_index_fast(orphans, orphans->len - 1);

        if (g_atomic_int_dec_and_test(&last->ref_count))
            free_node(last, orphans);
    }
}

const char *
strata_role_to_string(StrataRole role)
{
    static const char *const names[STRATA_N_ROLES] = { "file", "data-file", "backing" };

    g_return_val_if_fail((guint)role < STRATA_N_ROLES, NULL);
    return names[role];
}

int
spec_role_from_key(const char *key, gsize length)
{
    for (int role = 0; role < STRATA_N_ROLES; role++) {
        const char *name = strata_role_to_string(role);

        if (strlen(name) == length && memcmp(name, key, length) == 0)
            return role;
    }
    return -1;
}

StrataSpec *
spec_ensure_child(StrataSpec *spec, StrataRole role)
{
    if (!spec->children[role])
        spec->children[role] = spec_new();
    return spec->children[role];
}

GArray *
spec_list_places(StrataSpec *root)
{
    GArray *places = g_array_new(FALSE, FALSE, sizeof(SpecPlace));
    SpecPlace top = { .spec = root, .parent = -1 };

    g_array_append_val(places, top);
    for (guint i = 0; i < places->len; i++) {
        StrataSpec *spec = g_array_index(places, SpecPlace, i).spec;

        for (int role = 0; role < STRATA_N_ROLES; role++) {
            SpecPlace place = { .spec = spec->children[role], .parent = i, .role = role };

            if (place.spec)
                g_array_append_val(places, place);
        }
    }
    return places;
}

const char *
spec_get_driver(StrataSpec *spec)
{
    return spec->driver;
}

const char *
spec_get_node_name(StrataSpec *spec)
{
    return spec->node_name;
}

StrataSpec *
spec_get_child(StrataSpec *spec, StrataRole role)
{
    return spec->children[role];
}

gboolean
spec_is_without_backing(StrataSpec *spec)
{
    return spec->without_backing;
}

gboolean
spec_is_from_header(StrataSpec *spec)
{
    return spec->from_header;
}

const char *
spec_get_text(StrataSpec *spec, const char *key)
{
    const SpecValue *value = g_hash_table_lookup(spec->options, key);

    return value ? value->text : NULL;
}

gboolean
spec_get_size(StrataSpec *spec, const char *key, guint64 *out_size)
{
    const char *text = spec_get_text(spec, key);

    return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, out_size, NULL);
}

StrataSpec *
spec_get_leaf(StrataSpec *spec)
{
    while (spec->children[STRATA_ROLE_FILE])
        spec = spec->children[STRATA_ROLE_FILE];
    return spec;
}

StrataSpec *
spec_new_image(const char *driver, const char *filename)
{
    const StrataDriver *found = driver ? strata_driver_find(driver) : NULL;
    StrataSpec *spec = spec_new();
    StrataSpec *leaf = spec;

    spec->driver = g_strdup(driver);
    if (!found || !found->is_protocol) {
        leaf = spec_ensure_child(spec, STRATA_ROLE_FILE);
        leaf->driver = g_strdup("file");
    }
    g_hash_table_insert(leaf->options, g_strdup("filename"), spec_value_new(SPEC_TEXT, filename));
    return spec;
}

StrataSpec *
spec_new_header_image(const char *driver, const char *filename)
{
    StrataSpec *spec = spec_new_image(driver, filename);
    StrataSpec *leaf = spec->children[STRATA_ROLE_FILE];

    spec->from_header = TRUE;
    if (leaf)
        leaf->from_header = TRUE;
    return spec;
}

StrataSpec *
spec_copy_node(StrataSpec *spec)
{
    StrataSpec *copy = spec_new();
    GHashTableIter iter;
    gpointer key, value;

    copy->driver = g_strdup(spec->driver);
    copy->node_name = g_strdup(spec->node_name);
    copy->without_backing = spec->without_backing;
    copy->from_header = spec->from_header;
    for (int role = 0; role < STRATA_N_ROLES; role++)
        copy->children[role] = spec->children[role] ? strata_spec_ref(spec->children[role]) : NULL;
    g_hash_table_iter_init(&iter, spec->options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const SpecValue *old = value;

        g_hash_table_insert(copy->options, g_strdup(key), spec_value_new(old->type, old->text));
    }
    return copy;
}

StrataSpec *
spec_with_driver(StrataSpec *spec, const char *driver, const char *where, GError **error)
{
    g_autoptr(StrataSpec) copy = spec_copy_node(spec);

    copy->driver = g_strdup(driver);
    if (!spec_check_node(copy, where, error))
        return NULL;
    return g_steal_pointer(&copy);
}

/* A file name that comes from a header makes the node that bears it the header's. */
static void
complete_options(StrataSpec *spec, StrataSpec *other)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, other->options);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const SpecValue *missing = value;

        if (!g_hash_table_contains(spec->options, key)) {
            g_hash_table_insert(spec->options, g_strdup(key),
                                spec_value_new(missing->type, missing->text));
            spec->from_header |= other->from_header;
        }
    }
}

StrataSpec *
spec_complete(StrataSpec *spec, StrataSpec *other, const char *where, GError **error)
{
    g_autoptr(StrataSpec) whole = spec_copy_node(spec);

    if (!whole->driver)
        whole->driver = g_strdup(other->driver);
    complete_options(whole, other);
    for (int role = 0; role < STRATA_N_ROLES; role++)
        if (!whole->children[role] && other->children[role] &&
            !(role == STRATA_ROLE_BACKING && whole->without_backing))
            whole->children[role] = strata_spec_ref(other->children[role]);
    whole->without_backing |= other->without_backing && !whole->children[STRATA_ROLE_BACKING];
    if (!spec_check_node(whole, where, error))
        return NULL;
    return g_steal_pointer(&whole);
}

gboolean
spec_uses_driver(StrataSpec *spec, const char *driver)
{
    g_autoptr(GArray) places = spec_list_places(spec);

    for (guint i = 0; i < places->len; i++)
        if (g_strcmp0(g_array_index(places, SpecPlace, i).spec->driver, driver) == 0)
            return TRUE;
    return FALSE;
}

gboolean
spec_has_protocol(const char *filename)
{
    return filename[strcspn(filename, ":/")] == ':';
}

char *
spec_join_path(const char *directory, const char *filename)
{
    return g_str_equal(directory, ".") ? g_strdup(filename)
                                       : g_build_filename(directory, filename, NULL);
}
