/* SPDX-License-Identifier: LGPL-2.1-or-later
 * spec.h - what drivers, policy and graph ask of a spec, and how they make one. */
#ifndef STRATA_LIB_SPEC_H
#define STRATA_LIB_SPEC_H

#include <strata/graph.h>
#include <strata/spec.h>

/* The driver's name; NULL where the header of the parent, or for the top its magic, decides. */
const char *spec_get_driver(StrataSpec *spec);

/* The explicit "node-name", or NULL. */
const char *spec_get_node_name(StrataSpec *spec);

/* The child in that role, or NULL where the spec does not speak of it. */
StrataSpec *spec_get_child(StrataSpec *spec, StrataRole role);

/* Whether the spec says "backing": null. */
gboolean spec_is_without_backing(StrataSpec *spec);

/* Whether an image header, and not the user, wrote it: its file names are confined by policy. */
gboolean spec_is_from_header(StrataSpec *spec);

/* An option's text, or NULL where it is not given. */
const char *spec_get_text(StrataSpec *spec, const char *key);

/* An option that is a size, in bytes. Leaves *@out_size alone and returns FALSE where it is not
 * given; the parser has refused everything that is no size. */
gboolean spec_get_size(StrataSpec *spec, const char *key, guint64 *out_size);

/* The last node below @spec through file edges; @spec itself where it has none. */
StrataSpec *spec_get_leaf(StrataSpec *spec);

/* @driver on the file @filename, as "--format" makes it; @driver NULL is left to be recognised. */
StrataSpec *spec_new_image(const char *driver, const char *filename);

/* The same for a name out of a header: spec_is_from_header() holds. */
StrataSpec *spec_new_header_image(const char *driver, const char *filename);

/* A copy of @spec with @driver; @spec must have none yet. @where names the node in messages. */
StrataSpec *spec_with_driver(StrataSpec *spec, const char *driver, const char *where,
                             GError **error);

/* A copy of @spec in which @other fills in whatever it does not say itself. @where names the node
 * in messages. */
StrataSpec *spec_complete(StrataSpec *spec, StrataSpec *other, const char *where, GError **error);

/* Of a name in a header. */
#define SPEC_RELATIVE_TO_NOTHING                                                         \
    "the name is relative, and the image that has it is on an NBD server, which has no " \
    "directory; \"backing\" (or \"data-file\") in the spec can say which file is meant"

/* The text of a json: name that stands in a header (after "json:"), made harmless: file names are
 * taken relative to @directory, and refused if that is NULL; node names and what only users may say
 * are dropped; spec_is_from_header() holds throughout. */
StrataSpec *spec_parse_header_json(const char *json, const char *directory, GError **error);

/* The next word of "a=b,,c,d=e": up to a single comma, with ",," made one. *@text moves behind it;
 * NULL at the end. Free with g_free(). */
char *spec_next_word(const char **text);

/* Digits, or 0x and hexadecimal digits, and one of the suffixes B to E at most. FALSE if @text is
 * no such number, or one of more than 64 bits. */
gboolean spec_parse_size(const char *text, guint64 *out_size);

/* QEMU's words for a switch: "on" or "off"; NULL if @text is none of them. */
const char *spec_parse_switch(const char *text);

/* Whether @spec or a node below it says that driver. */
gboolean spec_uses_driver(StrataSpec *spec, const char *driver);

/* Whether @filename names a protocol, as QEMU reads it: a colon before any slash. */
gboolean spec_has_protocol(const char *filename);

/* Relative @filename beneath @directory; what is beneath "." keeps its short name. Free with
 * g_free(). */
char *spec_join_path(const char *directory, const char *filename);

#endif
