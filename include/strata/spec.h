/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec.h - how a graph of images is written down, before anything is opened. */
#ifndef STRATA_SPEC_H
#define STRATA_SPEC_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * StrataSpec:
 * A tree of nodes-to-be: driver, options, and children by role. Immutable and reference-counted;
 * may be shared between threads. The words are QEMU's (docs/interop and the manual of qemu-img:
 * "--image-opts", the "json:" pseudo-protocol, and blockdev-add's option names).
 */
typedef struct _StrataSpec StrataSpec;

/**
 * StrataSpecSyntax: how the text of a command line is to be read.
 *
 * @STRATA_SPEC_FILENAME: a file name, or "json:{...}"
 * @STRATA_SPEC_IMAGE_OPTS: "driver=raw,offset=64k,file.driver=qcow2,..." (",," is a comma)
 */
typedef enum {
    STRATA_SPEC_FILENAME,
    STRATA_SPEC_IMAGE_OPTS,
} StrataSpecSyntax;

/**
 * strata_spec_parse:
 * @text: what the user typed
 * @syntax: how to read it
 * @format: (nullable): the driver of the topmost node when @text is a plain file name ("luks",
 *   "qcow2", "raw"); %NULL lets strata_graph_open() recognise qcow2 and luks, refuse other formats
 *   of images, and take all else for raw. With a spec that names a driver itself it must be %NULL
 *   or the same driver.
 * @error: %STRATA_ERROR_SPEC
 *
 * Opens nothing and looks at no file. Thread-safe.
 *
 * Returns: (transfer full): the spec, or %NULL with @error set
 */
StrataSpec *strata_spec_parse(const char *text, StrataSpecSyntax syntax, const char *format,
                              GError **error);

/**
 * strata_spec_parse_in:
 * @text: what stands in a file
 * @syntax: how to read it
 * @format: (nullable): as for strata_spec_parse()
 * @directory: what relative names of files begin at, in place of the current directory
 * @error: %STRATA_ERROR_SPEC
 *
 * Opens nothing and looks at no file. Thread-safe.
 *
 * Returns: (transfer full): the spec, or %NULL with @error set
 */
StrataSpec *strata_spec_parse_in(const char *text, StrataSpecSyntax syntax, const char *format,
                                 const char *directory, GError **error);

/**
 * strata_spec_list_filenames:
 * @spec: a spec
 *
 * Returns: (transfer full): the host files that @spec names itself; what headers name besides is
 *   not known before they are read. Free with g_strfreev().
 */
char **strata_spec_list_filenames(StrataSpec *spec);

/**
 * strata_spec_to_json:
 * @spec: a spec
 *
 * Returns: (transfer full): @spec in the blockdev form, on one line, keys in a fixed order; with
 *   "json:" in front it is what strata_spec_parse() takes. Free with g_free().
 */
char *strata_spec_to_json(StrataSpec *spec);

/** strata_spec_ref: Thread-safe. Returns: (transfer full): @spec */
StrataSpec *strata_spec_ref(StrataSpec *spec);

/** strata_spec_unref: Gives up one reference; the last frees the spec. Thread-safe. */
void strata_spec_unref(StrataSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataSpec, strata_spec_unref)

G_END_DECLS

#endif
