/* SPDX-License-Identifier: LGPL-2.1-or-later
 * driver.h - what a driver is, and what it promises. The contract in prose; resolve.c checks it.
 *
 * A driver knows its own node and nothing of chains. Its one question is: of a range of your own
 * node, what is yours and whom do you defer to for the rest? docs/resolving.md defines the answers.
 * It is asked by map() or, of a node with tables, by seek_slice() and those that follow it. Who
 * then goes along the edges, counts depth and names the claimant are resolve.c and segment.c alone.
 */
#ifndef STRATA_DRIVER_H
#define STRATA_DRIVER_H

#include <strata/bitmap.h>
#include <strata/graph.h>

#include "slice.h"

typedef struct {
    guint64 offset; /* bytes, in the node that is asked */
    guint64 length; /* bytes, never 0 */
} StrataRange;

typedef enum {
    STRATA_ANSWER_DATA,    /* mine: my bytes, kept in the child of .role at .child_offset */
    STRATA_ANSWER_OWN,     /* mine, and only I can deliver the bytes, through read(): what a
                              protocol leaf says of its data, a format of an encoded cluster */
    STRATA_ANSWER_ZERO,    /* mine: reads as zeros because I say so */
    STRATA_ANSWER_FORWARD, /* not mine: the child of .role decides, at .child_offset */
    STRATA_ANSWER_ABSENT,  /* not mine, and nobody to ask: reads as zeros */
} StrataAnswerKind;

typedef struct {
    guint64 length;       /* bytes, never 0 */
    guint64 child_offset; /* DATA, FORWARD: where in the child; else 0 */
    guint8 kind;          /* StrataAnswerKind */
    guint8 role;          /* DATA, FORWARD: StrataRole; else 0 */
    guint16 flags;        /* OWN: STRATA_RUN_COMPRESSED, STRATA_RUN_ENCRYPTED; a node with remote
                             depth: these and STRATA_RUN_PAST_END with OWN and ZERO; else 0 */
    guint16 depth;        /* OWN, ZERO of a node with remote depth: the backing edges crossed beyond
                             it; else 0 */
    guint16 layer;        /* OWN, ZERO: whose claim it is: 0 for the node's own, n for that of the
                             n-th layer that strata_opener_add_layer() added; else 0 */
} StrataAnswer;

/* What a unit holds that is the node's own, for nodes with tables. */
typedef enum {
    STRATA_UNIT_DATA,       /* as it is, in the child of node->data_role */
    STRATA_UNIT_COMPRESSED, /* and only the node can deliver it, through read(), as the next one */
    STRATA_UNIT_ENCRYPTED,
    STRATA_UNIT_ZERO,
    STRATA_UNIT_DAMAGED, /* what stands in the table makes no sense */
} StrataUnitKind;
#define STRATA_UNIT_KIND_BITS 3 /* enough for all of them, and for what the resolver adds */

/* Where what is told of units goes. */
typedef struct {
    guint16 tag;    /* is added to each kind */
    guint16 *kinds; /* StrataUnitKind */
    guint64
        *places; /* bytes: where the unit begins, in the child (DATA) or the node (all others) */
    guint64 lowest, highest; /* of the places of DATA: are made to include what is told now */
} StrataUnits;

/* A child that open() found named in the image and not in the spec. */
typedef struct _StrataOpener StrataOpener;

/* Asks open.c to open what a header names as the child in @role, once the driver's open() has
 * returned. A spec that names the child itself, or says null, goes before the header; a spec that
 * gives a part of it ("backing.driver") is completed by it.
 * @name: as it stands in the header (copied); @format: (nullable): as the header says (copied) */
void strata_opener_name_child(StrataOpener *opener, StrataRole role, const char *name,
                              const char *format);

/* Adds, below @node, the next layer of a server that tells its layers: a node without storage of
 * its own, in whose name @node answers. Called from open(), when node->size is known, from the top
 * of the remote chain down. The name is made of the name of @node, a '/' and @name (copied), with
 * what cannot stand in a name made '_'. FALSE with @error: LIMIT. */
gboolean strata_opener_add_layer(StrataOpener *opener, StrataNode *node, const char *name,
                                 GError **error);

/* What the user lent under that ID (strata_policy_add_object()); objects.h has the struct. Return
 * NULL with @error: SPEC, naming @node and the ID. Both belong to the policy, which the graph holds
 * and which wipes a secret's bytes in the end. */
GBytes *strata_opener_get_secret(StrataOpener *opener, StrataNode *node, const char *id,
                                 GError **error);
const struct _TlsCreds *strata_opener_get_tls_creds(StrataOpener *opener, StrataNode *node,
                                                    const char *id, GError **error);

typedef struct {
    const char *name;
    gboolean is_protocol;               /* a leaf that holds bytes: has no children */
    guint required_roles;               /* 1 << role: the spec must name these children ("file") */
    guint optional_roles;               /* 1 << role: the spec may name these */
    const char *const *options;         /* NULL-terminated: the driver's own keys in a spec, beyond
                                           "driver", "node-name" and the children */
    const char *const *ignored_options; /* (nullable) NULL-terminated: QEMU's keys that a read-only
                                           reader takes and has no use for; documented as such */

    /* Opens @node: reads headers through children[FILE], which is open, checks every number, and
     * fills in size, claims, forward_roles, place and state. On failure state may be half filled;
     * close() is called for it all the same. */
    gboolean (*open)(StrataNode *node, StrataOpener *opener, GError **error);

    /* (nullable) All storage children are open now; the backing file is not. Last checks. */
    gboolean (*storage_ready)(StrataNode *node, GError **error);

    /* Frees state; children may be closed already. @node->state may be NULL. */
    void (*close)(StrataNode *node);

    /* Answers for @n_ranges ranges of its own node, taken one after the other: every answer lies in
     * one range, the answers of a range are consecutive from its beginning, and the next range is
     * begun only when one is full. The ranges come in no promised order, do not overlap, and lie
     * within the node's size (the caller has clipped them). Neighbouring answers should be merged
     * as far as they go, but need not be.
     *
     * May stop short at any place, for want of room (@max_answers, at least 1) or because what
     * follows cannot be told; the caller asks again from there. Only if not even the first byte of
     * the first range can be told is it a failure: 0, with @error set (DAMAGED, IO, UNSUPPORTED),
     * naming node, file and offset.
     *
     * What may be told of a byte is always the same (while no file changes), whatever ranges it is
     * asked in. Thread-safe and without a lock held across a read; what must be looked up is looked
     * up once per table, not once per cluster.
     *
     * Returns the number of answers. */
    gsize (*map)(StrataNode *node, const StrataRange *ranges, gsize n_ranges, StrataAnswer *answers,
                 gsize max_answers, GError **error);

    /* Whether map() asks nobody and costs little, so that it may be asked about what lies around
     * the ranges of interest as well. */
    gboolean is_quick_to_map;

    /* -- A node with tables, in place of map() --
     *
     * Its size is divided into units of 1 << node->unit_bits bytes (the last may be cut short). Of
     * each the tables say what it holds that is the node's own, or that it is not its own: that is
     * FORWARD to the backing file, at the same offset, or ABSENT where there is none. What was
     * promised of map() holds for these, too: one answer for a byte, threads, no locks. */

    /* Makes @slice tell of the byte at @offset (it may already): opens one table, or finds a
     * stretch that no table describes, which need not be followed beyond @limit. FALSE with @error:
     * DAMAGED, IO, UNSUPPORTED, naming node, file and offset; then no table is open. */
    gboolean (*seek_slice)(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit,
                           GError **error);

    /* The same, if it takes nothing that is not in memory; and has the processor fetch what
     * find_own() looks at for that byte. Else no table is open: a hint, for who will seek there
     * soon. */
    void (*peek_slice)(StrataNode *node, StrataSlice *slice, guint64 offset, guint64 limit);

    /* (nullable) A hint that a slice which tells of the byte at @offset will be sought soon: has
     * storage begin to fetch its table, if it takes nothing that is not in memory to tell where
     * that lies. Thread-safe. */
    void (*prefetch_slice)(StrataNode *node, guint64 offset);

    /* Which of the @n_units units from @first on, counted from the slice's beginning and within it,
     * are the node's own: sets their bits in @bits, which are all clear. The damaged are its own.
     * Not called for an empty slice. */
    void (*find_own)(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
                     guint64 *bits);

    /* Tells of those of these units whose bit is set in @wanted, all of them its own; the first of
     * @units is that of @first. Returns the number, from there, of the first that is damaged, at
     * which it stops, or @n_units. */
    gsize (*tell_units)(StrataNode *node, const StrataSlice *slice, gsize first, gsize n_units,
                        const guint64 *wanted, StrataUnits *units);

    /* Sets @error to what is wrong with that unit, which is damaged. */
    void (*throw_damage)(StrataNode *node, const StrataSlice *slice, gsize unit, GError **error);

    /* (nullable when nothing is OWN, compressed or encrypted) Delivers bytes of a range that is.
     * Who waits for storage in map() or read(), or works as long, calls wait_announce() before
     * (wait.h). Thread-safe. */
    gboolean (*read)(StrataNode *node, guint64 offset, gsize length, guint8 *buffer,
                     GError **error);

    /* (nullable unless open() filled in node->bitmaps) The content of one of its own bitmaps over a
     * range of its own node: consecutive runs from the range's beginning, coalesced as far as they
     * go; offsets are the node's. May stop short. Returns 0 with @error if not even the first byte
     * can be told. @bitmap is consistent. Thread-safe. */
    gsize (*map_bitmap)(StrataNode *node, const StrataBitmap *bitmap, StrataRange range,
                        StrataBitmapRun *runs, gsize max_runs, GError **error);

    /* (nullable) A file of the graph has changed underneath: does what open() read of this node
     * still hold? What is cached beside it (tables, clusters, holes) is dropped by the caller.
     * FALSE with @error makes the node answer with that error: for good if it is CHANGED, a
     * difference that was read; after any other it is asked again. Reads nothing but what lies in
     * the storage below the node. Not called by two threads at once for the same node. */
    gboolean (*still_holds)(StrataNode *node, GError **error);

    /* (nullable) Moves such bytes into a pipe, as strata_run_splice() does. Thread-safe. */
    gssize (*splice)(StrataNode *node, guint64 offset, gsize length, int pipe_fd, GError **error);

    /* (nullable) A hint that a range for which map() said OWN will be read. Thread-safe. */
    void (*prefetch)(StrataNode *node, guint64 offset, guint64 length);

    /* (nullable) Adds the driver's keys for strata_node_describe(). */
    void (*describe)(StrataNode *node, GVariantDict *dict);
} StrataDriver;

extern const StrataDriver strata_driver_file;
extern const StrataDriver strata_driver_luks;
extern const StrataDriver strata_driver_nbd;
extern const StrataDriver strata_driver_qcow2;
extern const StrataDriver strata_driver_raw;
extern const StrataDriver strata_driver_remote; /* of what strata_opener_add_layer() adds; no spec
                                                   can name it */

/* map-all.c: answers as map() for a node all of which is OWN, with those flags (STRATA_RUN_). */
gsize strata_map_all_as_own(const StrataRange *ranges, gsize n_ranges, guint16 flags,
                            StrataAnswer *answers, gsize max_answers);

/* drivers.c: NULL when there is none of that name. */
const StrataDriver *strata_driver_find(const char *name);

/* drivers.c: "file, luks, nbd, qcow2, raw": for messages. Free with g_free(). */
char *strata_driver_list_names(void);

/* read.c: bytes of a node as anybody sees them, through its whole graph; what a format reads its
 * headers and tables with. The range must lie within the node's size, else DAMAGED. Recurses once
 * per level of storage nesting. Thread-safe. */
gboolean strata_node_read(StrataNode *node, guint64 offset, gsize length, void *buffer,
                          GError **error);

#endif
