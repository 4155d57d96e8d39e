/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-json.h - json-glib, with what it needs of GObject, loaded for specs that are JSON (late.h).
 * To be included in place of its own headers; a function that is used besides is added to both
 * lists. */
#ifndef STRATA_LATE_JSON_H
#define STRATA_LATE_JSON_H

#include "late.h"

#include <json-glib/json-glib.h>

/* clang-format off */
#define LATE_JSON_SYMBOLS(X) \
    X(json_node_get_boolean) \
    X(json_node_get_node_type) \
    X(json_node_get_object) \
    X(json_node_get_string) \
    X(json_node_get_value_type) \
    X(json_object_iter_init_ordered) \
    X(json_object_iter_next_ordered) \
    X(json_parser_get_root) \
    X(json_parser_load_from_data) \
    X(json_parser_new_immutable) \
    X(json_to_string) \
    X(g_object_unref) \
    X(g_signal_connect_data)
/* clang-format on */

LATE_JSON_SYMBOLS(LATE_DECLARE)

/* Before anything of it is used. Any thread, any number of times. */
gboolean late_json_load(GError **error);

#ifndef LATE_JSON_IS_DEFINED_HERE
/* clang-format off */
#define json_node_get_boolean late_json_node_get_boolean
#define json_node_get_node_type late_json_node_get_node_type
#define json_node_get_object late_json_node_get_object
#define json_node_get_string late_json_node_get_string
#define json_node_get_value_type late_json_node_get_value_type
#define json_object_iter_init_ordered late_json_object_iter_init_ordered
#define json_object_iter_next_ordered late_json_object_iter_next_ordered
#define json_parser_get_root late_json_parser_get_root
#define json_parser_load_from_data late_json_parser_load_from_data
#define json_parser_new_immutable late_json_parser_new_immutable
#define json_to_string late_json_to_string
#define g_object_unref late_g_object_unref
#define g_signal_connect_data late_g_signal_connect_data
/* clang-format on */
#endif

#endif
