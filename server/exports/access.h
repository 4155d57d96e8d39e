/* SPDX-License-Identifier: LGPL-2.1-or-later
 * access.h - rules of who may use something: an export, or the server at all. */
#ifndef STRATA_ACCESS_H
#define STRATA_ACCESS_H

#include "engine/peer.h"

/* What clients can prove by TLS, as the server is set up. */
typedef struct {
    gboolean has_tls;
    gboolean asks_certificates; /* and verifies them */
    gboolean has_keys;          /* pre-shared ones */
} AccessProofs;

/* Immutable, so that threads may share it. */
typedef struct _AccessRules AccessRules;

/* @words: NULL-terminated, each a rule as strata-nbd(8) tells them: any, tls, dn=PATTERN,
 * san=TYPE:PATTERN, psk=NAME, net=ADDRESS[/BITS], user=NAME|UID, group=NAME|GID, cid=NUMBER. Names
 * of users and groups are looked up now. Returns NULL with @error (STRATA_ERROR_SPEC) for what is
 * no rule, and for no rule at all: that would be meant to admit everybody, or nobody. */
AccessRules *access_rules_new(const char *const *words, GError **error);
void access_rules_free(AccessRules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AccessRules, access_rules_free)

/* Whether one of @rules at least is about @peer. @rules NULL: there are none, and everybody is
 * admitted. @peer NULL: somebody whom no rule keeps out. */
gboolean access_rules_admit(const AccessRules *rules, const Peer *peer);

/* Whether @word is one of dn=, san= and psk=: about what a TLS handshake tells of the client. */
gboolean access_word_is_about_identity(const char *word);

/* Calls @func for each of @rules (nullable) that nobody can meet who has no more than @proofs, with
 * the option that it needs and why. */
typedef void (*AccessLackFunc)(const char *word, const char *why, gpointer user_data);
void access_rules_foreach_lack(const AccessRules *rules, const AccessProofs *proofs,
                               AccessLackFunc func, gpointer user_data);

#endif
