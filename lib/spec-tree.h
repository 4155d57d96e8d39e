/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec-tree.h - the struct behind StrataSpec, for the files that build, check and print it. A spec
 * is changed only by those who made it and before anybody else holds it.
 *
 *   spec.c        tree, copies, accessors   spec-parse.c      text in its three forms to a tree
 *   spec-put.c    one key, one value        spec-from-json.c  JSON to a tree
 *   spec-check.c  drivers, keys, values     spec-to-json.c    a tree to JSON */
#ifndef STRATA_SPEC_TREE_H
#define STRATA_SPEC_TREE_H

#include "driver.h"
#include "spec.h"

/* json-glib lets longer numbers wrap around without a word; 18 digits always fit. */
#define SPEC_MAX_JSON_DIGITS 18

typedef enum {
    SPEC_TEXT,
    SPEC_NUMBER, /* decimal digits; in an unchecked spec anything that JSON calls a number */
    SPEC_BOOL,   /* "on" or "off" */
    SPEC_NULL,   /* only while parsing */
} SpecType;

typedef struct {
    SpecType type;
    char *text; /* owned; NULL for SPEC_NULL */
} SpecValue;

struct _StrataSpec {
    gint ref_count;      /* atomic */
    char *driver;        /* nullable */
    char *node_name;     /* nullable */
    GHashTable *options; /* key -> SpecValue, both owned */
    StrataSpec *children[STRATA_N_ROLES];
    gboolean without_backing; /* "backing": null; children[BACKING] is NULL then */
    gboolean from_header;
};

StrataSpec *spec_new(void);
SpecValue *spec_value_new(SpecType type, const char *text);
void spec_value_free(SpecValue *value);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SpecValue, spec_value_free)

/* A copy of one node; the children are shared, which no one changes any more. */
StrataSpec *spec_copy_node(StrataSpec *spec);

/* The child in @role, made if it is not there. */
StrataSpec *spec_ensure_child(StrataSpec *spec, StrataRole role);

/* -1 if @key is not the name of a role. */
int spec_role_from_key(const char *key, gsize length);

/* spec-put.c: sets @error to SPEC with that sentence. Returns FALSE. */
gboolean spec_throw(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* spec-put.c: goes down from @spec by the roles that *@key begins with, making nodes where there
 * are none; *@key is then a key of the node that is returned. NULL with @error. */
StrataSpec *spec_descend(StrataSpec *spec, const char **key, GError **error);

/* spec-put.c: puts the value of a key such as "backing.file.filename" into the tree. */
gboolean spec_put(StrataSpec *root, const char *dotted_key, const SpecValue *value, GError **error);

/* spec-from-json.c: the text after "json:". */
StrataSpec *spec_from_json(const char *json, GError **error);

/* One node of a tree and how it hangs there; a list of all of them replaces recursion. */
typedef struct {
    StrataSpec *spec;
    gint parent; /* its index in the list, -1 for the root */
    StrataRole role;
} SpecPlace;

/* Every node of the tree, parents before their children (element-type SpecPlace). */
GArray *spec_list_places(StrataSpec *root);

/* spec-check.c: makes the tree below @root right or says what is wrong with it: fills in drivers
 * that go without saying, brings values to their one written form, refuses unknown drivers, keys,
 * children and values, double node names and too many nodes. */
gboolean spec_check_tree(StrataSpec *root, GError **error);

/* The same for one node; @where names it in messages. */
gboolean spec_check_node(StrataSpec *spec, const char *where, GError **error);

#endif
