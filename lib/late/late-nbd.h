/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-nbd.h - libnbd, loaded for layers that are NBD servers (late.h). To be included in place of
 * its own headers; a function that is used besides is added to both lists. */
#ifndef STRATA_LATE_NBD_H
#define STRATA_LATE_NBD_H

#include "late.h"

#include <libnbd.h>

/* clang-format off */
#define LATE_NBD_SYMBOLS(X) \
    X(nbd_add_meta_context) \
    X(nbd_aio_block_status) \
    X(nbd_aio_connect_tcp) \
    X(nbd_aio_connect_unix) \
    X(nbd_aio_connect_vsock) \
    X(nbd_aio_disconnect) \
    X(nbd_aio_get_direction) \
    X(nbd_aio_get_fd) \
    X(nbd_aio_is_connecting) \
    X(nbd_aio_is_negotiating) \
    X(nbd_aio_is_processing) \
    X(nbd_aio_is_ready) \
    X(nbd_aio_notify_read) \
    X(nbd_aio_notify_write) \
    X(nbd_aio_opt_go) \
    X(nbd_aio_opt_list_meta_context) \
    X(nbd_aio_pread_structured) \
    X(nbd_can_meta_context) \
    X(nbd_can_multi_conn) \
    X(nbd_clear_debug_callback) \
    X(nbd_clear_meta_contexts) \
    X(nbd_close) \
    X(nbd_create) \
    X(nbd_get_block_size) \
    X(nbd_get_error) \
    X(nbd_get_size) \
    X(nbd_get_tls_negotiated) \
    X(nbd_set_debug) \
    X(nbd_set_debug_callback) \
    X(nbd_set_export_name) \
    X(nbd_set_opt_mode) \
    X(nbd_set_strict_mode) \
    X(nbd_set_tls) \
    X(nbd_set_tls_certificates) \
    X(nbd_set_tls_psk_file) \
    X(nbd_set_tls_username) \
    X(nbd_set_tls_verify_peer)
/* clang-format on */

LATE_NBD_SYMBOLS(LATE_DECLARE)

/* Before anything of it is used. Any thread, any number of times. */
gboolean late_nbd_load(GError **error);

#ifndef LATE_NBD_IS_DEFINED_HERE
/* clang-format off */
#define nbd_add_meta_context late_nbd_add_meta_context
#define nbd_aio_block_status late_nbd_aio_block_status
#define nbd_aio_connect_tcp late_nbd_aio_connect_tcp
#define nbd_aio_connect_unix late_nbd_aio_connect_unix
#define nbd_aio_connect_vsock late_nbd_aio_connect_vsock
#define nbd_aio_disconnect late_nbd_aio_disconnect
#define nbd_aio_get_direction late_nbd_aio_get_direction
#define nbd_aio_get_fd late_nbd_aio_get_fd
#define nbd_aio_is_connecting late_nbd_aio_is_connecting
#define nbd_aio_is_negotiating late_nbd_aio_is_negotiating
#define nbd_aio_is_processing late_nbd_aio_is_processing
#define nbd_aio_is_ready late_nbd_aio_is_ready
#define nbd_aio_notify_read late_nbd_aio_notify_read
#define nbd_aio_notify_write late_nbd_aio_notify_write
#define nbd_aio_opt_go late_nbd_aio_opt_go
#define nbd_aio_opt_list_meta_context late_nbd_aio_opt_list_meta_context
#define nbd_aio_pread_structured late_nbd_aio_pread_structured
#define nbd_can_meta_context late_nbd_can_meta_context
#define nbd_can_multi_conn late_nbd_can_multi_conn
#define nbd_clear_debug_callback late_nbd_clear_debug_callback
#define nbd_clear_meta_contexts late_nbd_clear_meta_contexts
#define nbd_close late_nbd_close
#define nbd_create late_nbd_create
#define nbd_get_block_size late_nbd_get_block_size
#define nbd_get_error late_nbd_get_error
#define nbd_get_size late_nbd_get_size
#define nbd_get_tls_negotiated late_nbd_get_tls_negotiated
#define nbd_set_debug late_nbd_set_debug
#define nbd_set_debug_callback late_nbd_set_debug_callback
#define nbd_set_export_name late_nbd_set_export_name
#define nbd_set_opt_mode late_nbd_set_opt_mode
#define nbd_set_strict_mode late_nbd_set_strict_mode
#define nbd_set_tls late_nbd_set_tls
#define nbd_set_tls_certificates late_nbd_set_tls_certificates
#define nbd_set_tls_psk_file late_nbd_set_tls_psk_file
#define nbd_set_tls_username late_nbd_set_tls_username
#define nbd_set_tls_verify_peer late_nbd_set_tls_verify_peer
/* clang-format on */
#endif

#endif
