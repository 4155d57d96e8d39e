/* SPDX-License-Identifier: LGPL-2.1-or-later
 * access.c - rules of who may use something. Each is a word; one that is about the peer admits. */
#include "access.h"

#include "ids.h"

#include <strata/strata.h>
#include <string.h>

typedef struct _Rule Rule;

/* What a client has to show for a rule. */
typedef enum {
    PROOF_NONE,
    PROOF_TLS,
    PROOF_CERTIFICATE,
    PROOF_KEY,
} Proof;

typedef struct {
    const char *word;  /* "net=" or, where nothing follows, "any" */
    const char *needs; /* what follows, in a message; NULL: nothing */
    gboolean (*parse)(Rule *rule, const char *value, GError **error);
    gboolean (*admits)(const Rule *rule, const Peer *peer);
    Proof proof;
} RuleKind;

struct _Rule {
    const RuleKind *kind;
    char *word;            /* all of it */
    char *text;            /* psk= */
    GPatternSpec *pattern; /* dn=, san= */
    InetNet net;
    guint32 number; /* user=, group=, cid= */
};

struct _AccessRules {
    GPtrArray *list; /* Rule */
};

static void
rule_free(gpointer data)
{
    Rule *rule = data;

    g_free(rule->word);
    g_free(rule->text);
    g_clear_pointer(&rule->pattern, g_pattern_spec_free);
    g_free(rule);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rule, rule_free)

static gboolean
throw_bad_value(GError **error, const Rule *rule, const char *value, const char *why)
{
    g_autofree char *shown = strata_escape(value);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC, "access rule '%s%s': %s needs %s%s%s%s",
                rule->kind->word, shown, rule->kind->word, rule->kind->needs,
                why != NULL ? ": " : "", why != NULL ? why : "",
                strpbrk(value, ",;") != NULL ? "; where there are several, each is a rule" : "");
    return FALSE;
}

/* The highest number means 'none' where machines are numbered. */
static gboolean
parse_number(const char *value, guint32 *out_number)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT32 - 1, &number, NULL))
        return FALSE;
    *out_number = (guint32)number;
    return TRUE;
}

/* @found: what became of the lookup; @reason: why it failed, which is taken. */
static gboolean
end_lookup(const Rule *rule, const char *value, gboolean found, GError *reason, GError **error)
{
    g_autoptr(GError) owned = reason;

    return found || throw_bad_value(error, rule, value, owned->message);
}

static gboolean
parse_user(Rule *rule, const char *value, GError **error)
{
    g_auto(UserEntry) user = { 0 };
    GError *reason = NULL;
    gboolean found = ids_find_user(value, &user, &reason);

    rule->number = user.uid;
    return end_lookup(rule, value, found, reason, error);
}

static gboolean
parse_group(Rule *rule, const char *value, GError **error)
{
    GError *reason = NULL;
    gboolean found = ids_find_group(value, &rule->number, &reason);

    return end_lookup(rule, value, found, reason, error);
}

static gboolean
parse_cid(Rule *rule, const char *value, GError **error)
{
    return parse_number(value, &rule->number) || throw_bad_value(error, rule, value, NULL);
}

static gboolean
parse_net(Rule *rule, const char *value, GError **error)
{
    const char *why = inet_net_parse(value, &rule->net);

    return why == NULL || throw_bad_value(error, rule, value, why);
}

static gboolean
parse_pattern(Rule *rule, const char *value, GError **error)
{
    if (!g_utf8_validate(value, -1, NULL))
        return throw_bad_value(error, rule, value, "it is not UTF-8");
    rule->pattern = g_pattern_spec_new(value);
    return TRUE;
}

/* How names of @type are compared: those of hosts without regard to case (RFC 4343). */
static char *
fold_name(const char *name)
{
    gsize type = strlen("DNS:");

    return g_ascii_strncasecmp(name, "DNS:", type) == 0 ? g_ascii_strdown(name, -1)
                                                        : g_strdup(name);
}

static gboolean
parse_san(Rule *rule, const char *value, GError **error)
{
    static const char *const types[] = { "DNS:", "IP:", "URI:", "email:" };
    g_autofree char *folded = fold_name(value);

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_has_prefix(value, types[i]) && value[strlen(types[i])] != '\0')
            return parse_pattern(rule, folded, error);
    return throw_bad_value(error, rule, value, NULL);
}

static gboolean
parse_text(Rule *rule, const char *value, GError **error)
{
    (void)error;
    rule->text = g_strdup(value);
    return TRUE;
}

/* Text that is no UTF-8 is beyond what patterns can say. */
static gboolean
matches(const Rule *rule, const char *text)
{
    return text != NULL && g_utf8_validate(text, -1, NULL) &&
           g_pattern_spec_match_string(rule->pattern, text);
}

static gboolean
admits_anybody(const Rule *rule, const Peer *peer)
{
    (void)rule;
    (void)peer;
    return TRUE;
}

static gboolean
admits_tls(const Rule *rule, const Peer *peer)
{
    (void)rule;
    return peer->is_encrypted;
}

static gboolean
admits_subject(const Rule *rule, const Peer *peer)
{
    return matches(rule, peer->subject);
}

static gboolean
admits_name(const Rule *rule, const Peer *peer)
{
    for (char **name = peer->names; name != NULL && *name != NULL; name++) {
        g_autofree char *folded = fold_name(*name);

        if (matches(rule, folded))
            return TRUE;
    }
    return FALSE;
}

static gboolean
admits_psk(const Rule *rule, const Peer *peer)
{
    return g_strcmp0(rule->text, peer->psk_identity) == 0;
}

static gboolean
admits_net(const Rule *rule, const Peer *peer)
{
    return peer->kind == PEER_TCP && inet_net_has(&rule->net, &peer->inet);
}

static gboolean
admits_user(const Rule *rule, const Peer *peer)
{
    return peer->kind == PEER_UNIX && peer->uid == rule->number;
}

static gboolean
admits_group(const Rule *rule, const Peer *peer)
{
    for (guint i = 0; peer->kind == PEER_UNIX && i < peer->n_groups; i++)
        if (peer->groups[i] == rule->number)
            return TRUE;
    return FALSE;
}

static gboolean
admits_cid(const Rule *rule, const Peer *peer)
{
    return peer->kind == PEER_VSOCK && peer->cid == rule->number;
}

static const RuleKind kinds[] = {
    { "any", NULL, NULL, admits_anybody, PROOF_NONE },
    { "tls", NULL, NULL, admits_tls, PROOF_TLS },
    { "dn=", "a distinguished name, in which * stands for any text", parse_pattern, admits_subject,
      PROOF_CERTIFICATE },
    { "san=", "DNS:NAME, IP:ADDRESS, URI:TEXT or email:ADDRESS, in which * stands for any text",
      parse_san, admits_name, PROOF_CERTIFICATE },
    { "psk=", "the name of a pre-shared key", parse_text, admits_psk, PROOF_KEY },
    { "net=", "an address, or one with the number of its bits that count, as in 192.0.2.0/24",
      parse_net, admits_net, PROOF_NONE },
    { "user=", "the name or number of a user", parse_user, admits_user, PROOF_NONE },
    { "group=", "the name or number of a group", parse_group, admits_group, PROOF_NONE },
    { "cid=", "the number of a virtual machine", parse_cid, admits_cid, PROOF_NONE },
};

static const RuleKind *
find_kind(const char *word)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].needs != NULL ? g_str_has_prefix(word, kinds[i].word)
                                   : g_str_equal(word, kinds[i].word))
            return &kinds[i];
    return NULL;
}

/* The rule that begins behind a comma or a semicolon within @word, where somebody has written two
 * as one; else NULL. No attribute of a distinguished name is called like a rule. */
static const char *
find_second_rule(const char *word)
{
    for (const char *at = strpbrk(word, ",;"); at != NULL; at = strpbrk(at, ",;")) {
        const RuleKind *kind;

        at += strspn(at, ",; ");
        kind = find_kind(at);
        if (kind != NULL && kind->needs != NULL)
            return at;
    }
    return NULL;
}

static void
throw_two_rules(GError **error, const char *word, const char *second)
{
    g_autofree char *shown = strata_escape(word);
    g_autofree char *shown_second = strata_escape(second);

    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "access rule '%s': with '%s' another rule begins in it; on the command line each "
                "rule has an option of its own, and in a configuration file a semicolon stands "
                "between two",
                shown, shown_second);
}

static Rule *
parse_rule(const char *word, GError **error)
{
    g_autoptr(Rule) rule = g_new0(Rule, 1);
    g_autofree char *shown = strata_escape(word);
    const char *second = find_second_rule(word);
    const char *value;

    if (second != NULL) {
        throw_two_rules(error, word, second);
        return NULL;
    }
    rule->word = g_strdup(word);
    rule->kind = find_kind(word);
    if (rule->kind == NULL) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "there is no access rule '%s'; there are any, tls, dn=PATTERN, "
                    "san=TYPE:PATTERN, psk=NAME, net=ADDRESS[/BITS], user=NAME, group=NAME and "
                    "cid=NUMBER",
                    shown);
        return NULL;
    }
    if (rule->kind->needs == NULL)
        return g_steal_pointer(&rule);
    value = word + strlen(rule->kind->word);
    if (*value == '\0') {
        throw_bad_value(error, rule, value, NULL);
        return NULL;
    }
    return rule->kind->parse(rule, value, error) ? g_steal_pointer(&rule) : NULL;
}

AccessRules *
access_rules_new(const char *const *words, GError **error)
{
    g_autoptr(AccessRules) rules = g_new0(AccessRules, 1);

    rules->list = g_ptr_array_new_with_free_func(rule_free);
    for (; words != NULL && *words != NULL; words++) {
        Rule *rule = parse_rule(*words, error);

        if (rule == NULL)
            return NULL;
        g_ptr_array_add(rules->list, rule);
    }
    if (rules->list->len > 0)
        return g_steal_pointer(&rules);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                "there is no access rule; \"any\" is the one that admits everybody");
    return NULL;
}

void
access_rules_free(AccessRules *rules)
{
    g_ptr_array_unref(rules->list);
    g_free(rules);
}

gboolean
access_rules_admit(const AccessRules *rules, const Peer *peer)
{
    if (rules == NULL || peer == NULL)
        return TRUE;
    for (guint i = 0; i < rules->list->len; i++) {
        const Rule *rule = g_ptr_array_index(rules->list, i);

        if (rule->kind->admits(rule, peer))
            return TRUE;
    }
    return FALSE;
}

gboolean
access_word_is_about_identity(const char *word)
{
    const RuleKind *kind = find_kind(word);

    return kind != NULL && (kind->proof == PROOF_CERTIFICATE || kind->proof == PROOF_KEY);
}

/* NULL: a client can have it. */
static const char *
explain_lack(Proof proof, const AccessProofs *proofs)
{
    if (proof == PROOF_TLS && !proofs->has_tls)
        return "needs --tls-certificates or --tls-psk: without them no client has TLS";
    if (proof == PROOF_CERTIFICATE && !proofs->asks_certificates)
        return "needs --tls-verify-peer: no client is asked for a certificate";
    if (proof == PROOF_KEY && !proofs->has_keys)
        return "needs --tls-psk: there are no pre-shared keys";
    return NULL;
}

void
access_rules_foreach_lack(const AccessRules *rules, const AccessProofs *proofs, AccessLackFunc func,
                          gpointer user_data)
{
    for (guint i = 0; rules != NULL && i < rules->list->len; i++) {
        const Rule *rule = g_ptr_array_index(rules->list, i);
        const char *why = explain_lack(rule->kind->proof, proofs);

        if (why != NULL)
            func(rule->word, why, user_data);
    }
}
