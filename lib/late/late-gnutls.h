/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late-gnutls.h - GnuTLS, loaded for encrypted images and for TLS (late.h). To be included in place
 * of its own headers; a function that is used besides is added to both lists. */
#ifndef STRATA_LATE_GNUTLS_H
#define STRATA_LATE_GNUTLS_H

#include "late.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/socket.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>

/* clang-format off */
#define LATE_GNUTLS_SYMBOLS(X) \
    X(gnutls_alert_get) \
    X(gnutls_alert_get_name) \
    X(gnutls_alert_send) \
    X(gnutls_alert_send_appropriate) \
    X(gnutls_auth_client_get_type) \
    X(gnutls_bye) \
    X(gnutls_certificate_allocate_credentials) \
    X(gnutls_certificate_free_credentials) \
    X(gnutls_certificate_get_peers) \
    X(gnutls_certificate_server_set_request) \
    X(gnutls_certificate_set_verify_limits) \
    X(gnutls_certificate_set_x509_crl_mem) \
    X(gnutls_certificate_set_x509_key) \
    X(gnutls_certificate_set_x509_trust_mem) \
    X(gnutls_certificate_verification_status_print) \
    X(gnutls_cipher_decrypt2) \
    X(gnutls_cipher_deinit) \
    X(gnutls_cipher_encrypt2) \
    X(gnutls_cipher_get_key_size) \
    X(gnutls_cipher_init) \
    X(gnutls_cipher_set_iv) \
    X(gnutls_ciphersuite_get) \
    X(gnutls_credentials_set) \
    X(gnutls_deinit) \
    X(gnutls_error_is_fatal) \
    X(gnutls_free) \
    X(gnutls_handshake) \
    X(gnutls_handshake_set_max_packet_length) \
    X(gnutls_hash) \
    X(gnutls_hash_deinit) \
    X(gnutls_hash_fast) \
    X(gnutls_hash_get_len) \
    X(gnutls_hash_init) \
    X(gnutls_hash_output) \
    X(gnutls_init) \
    X(gnutls_malloc) \
    X(gnutls_memcmp) \
    X(gnutls_pbkdf2) \
    X(gnutls_priority_deinit) \
    X(gnutls_priority_init) \
    X(gnutls_priority_set) \
    X(gnutls_protocol_get_name) \
    X(gnutls_protocol_get_version) \
    X(gnutls_psk_allocate_server_credentials) \
    X(gnutls_psk_free_server_credentials) \
    X(gnutls_psk_server_get_username2) \
    X(gnutls_psk_set_server_credentials_function2) \
    X(gnutls_record_check_pending) \
    X(gnutls_record_get_direction) \
    X(gnutls_record_recv) \
    X(gnutls_record_send) \
    X(gnutls_session_get_ptr) \
    X(gnutls_session_get_verify_cert_status) \
    X(gnutls_session_set_ptr) \
    X(gnutls_session_set_verify_cert2) \
    X(gnutls_strerror) \
    X(gnutls_subject_alt_names_deinit) \
    X(gnutls_subject_alt_names_get) \
    X(gnutls_subject_alt_names_init) \
    X(gnutls_transport_is_ktls_enabled) \
    X(gnutls_transport_set_int2) \
    X(gnutls_transport_set_ptr2) \
    X(gnutls_transport_set_pull_function) \
    X(gnutls_x509_crt_deinit) \
    X(gnutls_x509_crt_get_activation_time) \
    X(gnutls_x509_crt_get_dn3) \
    X(gnutls_x509_crt_get_expiration_time) \
    X(gnutls_x509_crt_get_extension_by_oid2) \
    X(gnutls_x509_crt_import) \
    X(gnutls_x509_crt_init) \
    X(gnutls_x509_crt_list_import2) \
    X(gnutls_x509_ext_import_subject_alt_names) \
    X(gnutls_x509_privkey_deinit) \
    X(gnutls_x509_privkey_import2) \
    X(gnutls_x509_privkey_init)
/* clang-format on */

LATE_GNUTLS_SYMBOLS(LATE_DECLARE)

/* Before anything of it is used. Any thread, any number of times. */
gboolean late_gnutls_load(GError **error);

#ifndef LATE_GNUTLS_IS_DEFINED_HERE
/* clang-format off */
#define gnutls_alert_get late_gnutls_alert_get
#define gnutls_alert_get_name late_gnutls_alert_get_name
#define gnutls_alert_send late_gnutls_alert_send
#define gnutls_alert_send_appropriate late_gnutls_alert_send_appropriate
#define gnutls_auth_client_get_type late_gnutls_auth_client_get_type
#define gnutls_bye late_gnutls_bye
#define gnutls_certificate_allocate_credentials late_gnutls_certificate_allocate_credentials
#define gnutls_certificate_free_credentials late_gnutls_certificate_free_credentials
#define gnutls_certificate_get_peers late_gnutls_certificate_get_peers
#define gnutls_certificate_server_set_request late_gnutls_certificate_server_set_request
#define gnutls_certificate_set_verify_limits late_gnutls_certificate_set_verify_limits
#define gnutls_certificate_set_x509_crl_mem late_gnutls_certificate_set_x509_crl_mem
#define gnutls_certificate_set_x509_key late_gnutls_certificate_set_x509_key
#define gnutls_certificate_set_x509_trust_mem late_gnutls_certificate_set_x509_trust_mem
#define gnutls_certificate_verification_status_print \
    late_gnutls_certificate_verification_status_print
#define gnutls_cipher_decrypt2 late_gnutls_cipher_decrypt2
#define gnutls_cipher_deinit late_gnutls_cipher_deinit
#define gnutls_cipher_encrypt2 late_gnutls_cipher_encrypt2
#define gnutls_cipher_get_key_size late_gnutls_cipher_get_key_size
#define gnutls_cipher_init late_gnutls_cipher_init
#define gnutls_cipher_set_iv late_gnutls_cipher_set_iv
#define gnutls_ciphersuite_get late_gnutls_ciphersuite_get
#define gnutls_credentials_set late_gnutls_credentials_set
#define gnutls_deinit late_gnutls_deinit
#define gnutls_error_is_fatal late_gnutls_error_is_fatal
#define gnutls_free (*late_gnutls_free)
#define gnutls_handshake late_gnutls_handshake
#define gnutls_handshake_set_max_packet_length late_gnutls_handshake_set_max_packet_length
#define gnutls_hash late_gnutls_hash
#define gnutls_hash_deinit late_gnutls_hash_deinit
#define gnutls_hash_fast late_gnutls_hash_fast
#define gnutls_hash_get_len late_gnutls_hash_get_len
#define gnutls_hash_init late_gnutls_hash_init
#define gnutls_hash_output late_gnutls_hash_output
#define gnutls_init late_gnutls_init
#define gnutls_malloc (*late_gnutls_malloc)
#define gnutls_memcmp late_gnutls_memcmp
#define gnutls_pbkdf2 late_gnutls_pbkdf2
#define gnutls_priority_deinit late_gnutls_priority_deinit
#define gnutls_priority_init late_gnutls_priority_init
#define gnutls_priority_set late_gnutls_priority_set
#define gnutls_protocol_get_name late_gnutls_protocol_get_name
#define gnutls_protocol_get_version late_gnutls_protocol_get_version
#define gnutls_psk_allocate_server_credentials late_gnutls_psk_allocate_server_credentials
#define gnutls_psk_free_server_credentials late_gnutls_psk_free_server_credentials
#define gnutls_psk_server_get_username2 late_gnutls_psk_server_get_username2
#define gnutls_psk_set_server_credentials_function2 late_gnutls_psk_set_server_credentials_function2
#define gnutls_record_check_pending late_gnutls_record_check_pending
#define gnutls_record_get_direction late_gnutls_record_get_direction
#define gnutls_record_recv late_gnutls_record_recv
#define gnutls_record_send late_gnutls_record_send
#define gnutls_session_get_ptr late_gnutls_session_get_ptr
#define gnutls_session_get_verify_cert_status late_gnutls_session_get_verify_cert_status
#define gnutls_session_set_ptr late_gnutls_session_set_ptr
#define gnutls_session_set_verify_cert2 late_gnutls_session_set_verify_cert2
#define gnutls_strerror late_gnutls_strerror
#define gnutls_subject_alt_names_deinit late_gnutls_subject_alt_names_deinit
#define gnutls_subject_alt_names_get late_gnutls_subject_alt_names_get
#define gnutls_subject_alt_names_init late_gnutls_subject_alt_names_init
#define gnutls_transport_is_ktls_enabled late_gnutls_transport_is_ktls_enabled
#define gnutls_transport_set_int2 late_gnutls_transport_set_int2
#define gnutls_transport_set_ptr2 late_gnutls_transport_set_ptr2
#define gnutls_transport_set_pull_function late_gnutls_transport_set_pull_function
#define gnutls_x509_crt_deinit late_gnutls_x509_crt_deinit
#define gnutls_x509_crt_get_activation_time late_gnutls_x509_crt_get_activation_time
#define gnutls_x509_crt_get_dn3 late_gnutls_x509_crt_get_dn3
#define gnutls_x509_crt_get_expiration_time late_gnutls_x509_crt_get_expiration_time
#define gnutls_x509_crt_get_extension_by_oid2 late_gnutls_x509_crt_get_extension_by_oid2
#define gnutls_x509_crt_import late_gnutls_x509_crt_import
#define gnutls_x509_crt_init late_gnutls_x509_crt_init
#define gnutls_x509_crt_list_import2 late_gnutls_x509_crt_list_import2
#define gnutls_x509_ext_import_subject_alt_names late_gnutls_x509_ext_import_subject_alt_names
#define gnutls_x509_privkey_deinit late_gnutls_x509_privkey_deinit
#define gnutls_x509_privkey_import2 late_gnutls_x509_privkey_import2
#define gnutls_x509_privkey_init late_gnutls_x509_privkey_init
/* clang-format on */
#endif

#endif
