/* SPDX-License-Identifier: LGPL-2.1-or-later
 * export.h - one export: its name, who may use it, what is told of it, and its image; and the table
 * of all of them at one time. */
#ifndef STRATA_EXPORT_H
#define STRATA_EXPORT_H

#include "access.h"
#include "directory.h"
#include "image.h"

/* Constant once it is in a table; reference-counted. It has a graph that stays open, or an image
 * that is opened on demand. */
typedef struct _Export {
    gint ref_count;      /* atomic */
    char *name;          /* also what counters call it */
    char *description;   /* NULL: the chain in a line */
    AccessRules *access; /* NULL: everybody is admitted */
    gboolean hides_layers;
    char **bitmaps; /* those that are offered; NULL: all */

    StrataGraph *graph;          /* NULL: opened on demand */
    Image *image;                /* NULL: nothing is ever opened again */
    Directory *directory;        /* (nullable) in which the image is a file, of the export's name */
    char *key;                   /* of the graph, see open-graphs.h */
    guint64 number;              /* of the opening of .graph, or of the export */
    gboolean on_demand;          /* as the configuration has it */
    struct _Export *image_owner; /* (nullable) owned: whose image this one goes on with, because its
                                    own did not open */
    char *settings; /* NULL, or what the image is made of: the same text, the same image */
} Export;

Export *export_new(const char *name);
Export *export_ref(Export *export);
void export_unref(Export *export);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Export, export_unref)

/* Whether @peer (NULL: somebody whom no rule keeps out) may use it. */
gboolean export_admits(const Export *export, const Peer *peer);

/* Opens it, unless that is to be done on demand. */
gboolean export_open(Export *export, GError **error);

/* Why an export cannot be called so: proto.md has strings as UTF-8 of at most 4096 bytes. @what:
 * the name of the thing in the message. */
gboolean export_check_string(const char *what, const char *text, GError **error);

/* Constant once it serves; reference-counted. */
typedef struct {
    gint ref_count;       /* atomic */
    GPtrArray *list;      /* Export, owned, in the order in which they are listed */
    GHashTable *names;    /* name -> Export */
    Directory *directory; /* (nullable) owned: exports that are its files */
} ExportTable;

ExportTable *export_table_new(void);
ExportTable *export_table_ref(ExportTable *table);
void export_table_unref(ExportTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExportTable, export_table_unref)

/* Takes a reference of its own. FALSE with @error for a name or description that cannot be told to
 * clients, or a name that stands already. */
gboolean export_table_add(ExportTable *table, Export *export, GError **error);

/* Returns: (transfer full) (nullable): what @peer gets who asks for exactly that name: an export of
 * the table's own, or a file of the directory, which nothing of the table's own hides. Looks into
 * the directory, and opens nothing. */
typedef Export *(*ExportTableFind)(const ExportTable *table, const Peer *peer, const char *name);
Export *export_table_find_own(const ExportTable *table, const Peer *peer, const char *name);
Export *export_table_find_file(const ExportTable *table, const Peer *peer, const char *name);

#endif
