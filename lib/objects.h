/* SPDX-License-Identifier: LGPL-2.1-or-later
 * objects.h - what the user lends to a graph by ID: secrets, and credentials for TLS. */
#ifndef STRATA_OBJECTS_H
#define STRATA_OBJECTS_H

#include <glib.h>

typedef enum {
    TLS_CREDS_X509, /* dir has ca-cert.pem, and client-cert.pem with client-key.pem or neither */
    TLS_CREDS_PSK,  /* dir has keys.psk */
} TlsCredsType;

/* A client's. The files are there and readable when the object is made. */
typedef struct _TlsCreds {
    TlsCredsType type;
    char *id;
    char *dir;
    char *username;       /* PSK; NULL where it is not said */
    gboolean verify_peer; /* x509: does the server have to prove that it has the name asked for? */
} TlsCreds;

/* Not changed once the graph is being opened; then any thread may look things up. */
typedef struct _Objects Objects;

Objects *objects_new(void);

/* Of the same objects, of which nothing is read again; what is added to one is not in the other. */
Objects *objects_copy(const Objects *objects);

/* Wipes the secrets, where no copy has them. */
void objects_free(Objects *objects);

/* @text: see strata_policy_add_object(). SPEC, NOT_FOUND, IO. */
gboolean objects_add(Objects *objects, const char *text, GError **error);

/* Both are owned by @objects; NULL where none of that kind has the ID. A secret is no text: it may
 * hold any byte, and is not terminated. */
GBytes *objects_get_secret(const Objects *objects, const char *id);
const TlsCreds *objects_get_tls_creds(const Objects *objects, const char *id);

#endif
