/* SPDX-License-Identifier: LGPL-2.1-or-later
 * carry-over.c - what an export that is made anew has from the one of its name before it. */
#include "carry-over.h"

/* An image that is opened on demand goes by the key that it had, so that those who have it open
 * share it with those who come. */
static void
take_over(Export *export, const Export *before)
{
    g_clear_pointer(&export->graph, strata_graph_unref);
    export->graph = before->graph != NULL ? strata_graph_ref(before->graph) : NULL;
    export->number = before->number;
    g_free(export->key);
    export->key = g_strdup(before->key);
}

gboolean
carry_over_unchanged(Export *export, const Export *before)
{
    if (g_strcmp0(before->settings, export->settings) != 0 ||
        (before->graph != NULL && !strata_graph_is_current(before->graph)))
        return FALSE;
    take_over(export, before);
    return TRUE;
}

/* Leaves those of *@names that are among @others; NULL: all. */
static void
keep_common(char ***names, char **others)
{
    g_autoptr(GPtrArray) common = NULL;

    if (others == NULL)
        return;
    if (*names == NULL) {
        *names = g_strdupv(others);
        return;
    }
    common = g_ptr_array_new();
    for (char **name = *names; *name != NULL; name++)
        if (g_strv_contains((const char *const *)others, *name))
            g_ptr_array_add(common, g_strdup(*name));
    g_ptr_array_add(common, NULL);
    g_strfreev(*names);
    *names = (char **)g_ptr_array_free(g_steal_pointer(&common), FALSE);
}

gboolean
carry_over_image(Export *export, Export *before)
{
    Export *owner = before->image_owner != NULL ? before->image_owner : before;

    if (owner->graph == NULL)
        return FALSE;
    take_over(export, owner);
    export->image_owner = export_ref(owner);
    export->on_demand = FALSE;
    export->hides_layers |= owner->hides_layers;
    keep_common(&export->bitmaps, owner->bitmaps);
    g_free(export->description);
    export->description = g_strdup(owner->description);
    g_free(export->settings);
    export->settings = g_strdup(owner->settings);
    return TRUE;
}
