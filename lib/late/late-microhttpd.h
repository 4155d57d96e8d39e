/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-microhttpd.h - libmicrohttpd, loaded for metrics (late.h). To be included in place of its
 * own headers; a function that is used besides is added to both lists. */
#ifndef STRATA_LATE_MICROHTTPD_H
#define STRATA_LATE_MICROHTTPD_H

#include "late.h"

#include <microhttpd.h>

/* clang-format off */
#define LATE_MICROHTTPD_SYMBOLS(X) \
    X(MHD_add_response_header) \
    X(MHD_create_response_from_buffer) \
    X(MHD_create_response_from_buffer_with_free_callback_cls) \
    X(MHD_destroy_response) \
    X(MHD_get_connection_info) \
    X(MHD_queue_response) \
    X(MHD_start_daemon) \
    X(MHD_stop_daemon)
/* clang-format on */

LATE_MICROHTTPD_SYMBOLS(LATE_DECLARE)

/* Before anything of it is used. Any thread, any number of times. */
gboolean late_microhttpd_load(GError **error);

#ifndef LATE_MICROHTTPD_IS_DEFINED_HERE
/* clang-format off */
#define MHD_add_response_header late_MHD_add_response_header
#define MHD_create_response_from_buffer late_MHD_create_response_from_buffer
#define MHD_create_response_from_buffer_with_free_callback_cls \
    late_MHD_create_response_from_buffer_with_free_callback_cls
#define MHD_destroy_response late_MHD_destroy_response
#define MHD_get_connection_info late_MHD_get_connection_info
#define MHD_queue_response late_MHD_queue_response
#define MHD_start_daemon late_MHD_start_daemon
#define MHD_stop_daemon late_MHD_stop_daemon
/* clang-format on */
#endif

#endif
