/* SPDX-License-Identifier: LGPL-2.1-or-later
 * describe-kept.c - what an image keeps besides its disk: snapshots and dirty bitmaps. */
#include "describe.h"

/* The moment as RFC 3339 writes it, in UTC; NULL for one beyond the calendar. Free with g_free().
 */
static char *
describe_date(gint64 seconds)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(seconds);

    return date == NULL ? NULL : g_date_time_format(date, "%Y-%m-%dT%H:%M:%SZ");
}

static void
describe_add_size(GVariantBuilder *builder, const char *key, guint64 size)
{
    g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint64(size));
}

static GVariant *
describe_snapshot(const StrataSnapshot *snapshot)
{
    g_autofree char *date = describe_date(snapshot->date_sec);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
    describe_add_text(&builder, "id", snapshot->id);
    describe_add_text(&builder, "name", snapshot->name);
    if (date != NULL)
        describe_add_text(&builder, "date", date);
    describe_add_size(&builder, "disk-size", snapshot->disk_size);
    describe_add_size(&builder, "vm-state-size", snapshot->vm_state_size);
    describe_add_size(&builder, "vm-clock-nsec", snapshot->vm_clock_nsec);
    return g_variant_builder_end(&builder);
}

void
describe_add_snapshots(GVariantBuilder *builder, StrataNode *node)
{
    gsize n;
    const StrataSnapshot *snapshots = strata_node_get_snapshots(node, &n);
    GVariantBuilder list;

    if (n == 0)
        return;
    g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
    for (gsize i = 0; i < n; i++)
        g_variant_builder_add_value(&list, describe_snapshot(&snapshots[i]));
    g_variant_builder_add(builder, "{sv}", "snapshots", g_variant_builder_end(&list));
}

static GVariant *
describe_bitmap(StrataBitmap *bitmap)
{
    guint64 granularity = strata_bitmap_get_granularity(bitmap);
    const char *damage = strata_bitmap_get_damage(bitmap);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
    describe_add_text(&builder, "name", strata_bitmap_get_name(bitmap));
    if (granularity > 0)
        describe_add_size(&builder, "granularity", granularity);
    g_variant_builder_add(&builder, "{sv}", "enabled",
                          g_variant_new_boolean(strata_bitmap_is_enabled(bitmap)));
    g_variant_builder_add(
        &builder, "{sv}", "in-use",
        g_variant_new_boolean(damage == NULL && !strata_bitmap_is_consistent(bitmap)));
    if (damage != NULL)
        describe_add_text(&builder, "damage", damage);
    return g_variant_builder_end(&builder);
}

void
describe_add_bitmaps(GVariantBuilder *builder, StrataNode *node)
{
    g_autoptr(GPtrArray) bitmaps = strata_node_list_own_bitmaps(node);
    GVariantBuilder list;

    if (bitmaps->len == 0)
        return;
    g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < bitmaps->len; i++)
        g_variant_builder_add_value(&list, describe_bitmap(bitmaps->pdata[i]));
    g_variant_builder_add(builder, "{sv}", "bitmaps", g_variant_builder_end(&list));
}
