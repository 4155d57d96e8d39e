/* SPDX-License-Identifier: LGPL-2.1-or-later
 * options.c - the command line of strata-nbd: one table, from which it is read and --help printed.
 * Where qemu-nbd has a letter, it means the same, and getopt_long() reads both. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata/strata.h>
#include <string.h>

#include "entrances.h"
#include "qemu-options.h"

typedef enum {
    KIND_FLAG,   /* gboolean */
    KIND_TEXT,   /* char * */
    KIND_NAME,   /* char *, not empty */
    KIND_NAMES,  /* char **, grows with each use */
    KIND_NUMBER, /* int, from .least to .most */
    KIND_SIZE,   /* gint64, from 0 up */
    KIND_HELP,
} Kind;

typedef struct {
    const char *name;
    char letter; /* '\0': none */
    Kind kind;
    gsize member;      /* of Options */
    const char *value; /* as --help calls it; NULL: takes none */
    const char *needs; /* the same in a message */
    const char *help;
    int least, most; /* of KIND_NUMBER; .most 0: any int */
} Row;

#define AT(member) G_STRUCT_OFFSET(Options, member)

static const Row rows[] = {
    { "socket", 'k', KIND_NAME, AT(socket), "PATH", "a path", "Listen on the Unix socket PATH" },
    { "bind", 'b', KIND_NAME, AT(bind), "HOST", "an address or a name of this machine",
      "Listen on this address or name (default: every interface)" },
    { "port", 'p', KIND_NAME, AT(port), "PORT", "a number from 0 to 65535 or the name of a service",
      "Listen on this TCP port; 0 for any free one (default: 10809)" },
    { "listen", '\0', KIND_NAMES, AT(listen), "ADDRESS", "an address, as in tcp:localhost:10809",
      "Listen on unix:PATH, tcp:[HOST:]PORT or vsock:[CID:]PORT (may be repeated)" },
    { "socket-mode", '\0', KIND_NAME, AT(socket_mode), "OCTAL", "permissions in octal",
      "Give these permissions to Unix sockets (default: as the umask has it)" },
    { "socket-group", '\0', KIND_NAME, AT(socket_group), "GROUP", "the name or number of a group",
      "Give Unix sockets to GROUP, whose members may connect" },
    { "single", '\0', KIND_FLAG, AT(single), NULL, NULL,
      "Serve one client, on standard input and output" },
    { "tls", '\0', KIND_NAME, AT(tls.mode), "MODE", "off, on or require",
      "TLS: off, on (if a client asks) or require (default: on if it has keys)" },
    { "tls-certificates", '\0', KIND_NAME, AT(tls.certificates), "DIR", "a directory",
      "The directory of the server's certificate and its key, and of the CA's" },
    { "tls-psk", '\0', KIND_NAME, AT(tls.psk_file), "FILE", "a file",
      "The file of pre-shared keys, as psktool makes it" },
    { "tls-verify-peer", '\0', KIND_FLAG, AT(tls.verify_peer), NULL, NULL,
      "Turn clients away whose certificate is not of the CA" },
    { "tls-authz", '\0', KIND_NAMES, AT(tls.authz), "RULE", "a rule, as in dn=CN=alice*",
      "Let in only clients of a rule: dn=, san= or psk= (may be repeated)" },
    { "export-name", 'x', KIND_TEXT, AT(export_name), "NAME", "a name",
      "Serve the image under this name (default: the empty one)" },
    { "description", 'D', KIND_TEXT, AT(description), "TEXT", "a text",
      "Describe the export so (default: its chain of layers)" },
    { "format", 'f', KIND_NAME, AT(format), "FORMAT", "a format",
      "The format of IMAGE: luks, qcow2 or raw (default: recognised)" },
    { "image-opts", '\0', KIND_FLAG, AT(image_opts), NULL, NULL,
      "IMAGE is a list of options: driver=...,file.driver=..." },
    { "backing-format", '\0', KIND_NAME, AT(backing_format), "FORMAT", "a format",
      "The format of backing files whose overlay does not tell it" },
    { "allow", '\0', KIND_NAMES, AT(allow), "DIR", "a directory",
      "Let image headers name files beneath DIR, too (may be repeated)" },
    { "allow-protocols", '\0', KIND_NAMES, AT(allow_protocols), "LIST", "protocols, as in nbd",
      "Let image headers name these, divided by commas, besides files" },
    { "probe", '\0', KIND_FLAG, AT(probe), NULL, NULL,
      "Recognise the format of backing files that no header tells" },
    { "force-share", '\0', KIND_FLAG, AT(force_share), NULL, NULL,
      "Open files that somebody writes to, and let others write" },
    { "metadata-cache", '\0', KIND_NAME, AT(metadata_cache), "SIZE", "a number of bytes, as in 64M",
      "Memory for the tables of each image's graph (default: 32M)" },
    { "object", '\0', KIND_NAMES, AT(objects), "TEXT", "an object, as in secret,id=ID,file=PATH",
      "Lend a secret or TLS credentials to IMAGE (may be repeated)" },
    { "load-snapshot", 'l', KIND_NAME, AT(load_snapshot), "SNAPSHOT", "a snapshot",
      "Serve that internal snapshot of IMAGE: its ID or name" },
    { "bitmap", 'B', KIND_NAMES, AT(bitmaps), "NAME", "the name of a bitmap",
      "Fail unless that bitmap can be offered, as all are (may be repeated)" },
    { "config", '\0', KIND_NAME, AT(config), "FILE", "a file",
      "Serve the exports of this configuration, see strata-nbd.conf(5)" },
    { "directory", '\0', KIND_NAME, AT(directory), "DIR", "a directory",
      "Serve each image in DIR under the name of its file, on demand" },
    { "access", '\0', KIND_NAMES, AT(access), "RULE", "an access rule, as in user=NAME",
      "Show IMAGE and DIR to those clients only (may be repeated)" },
    { "shared", 'e', KIND_NUMBER, AT(shared), "NUM", "a number of clients",
      "At most NUM clients at once, and exit after the last; 0 for any number" },
    { "persistent", 't', KIND_FLAG, AT(persistent), NULL, NULL,
      "Do not exit after the last client" },
    { "read-only", 'r', KIND_FLAG, AT(read_only), NULL, NULL, "Serve read-only (always so)" },
    { "allocation-depth", 'A', KIND_FLAG, AT(allocation_depth), NULL, NULL,
      "Offer qemu:allocation-depth (always so)" },
    { "max-connections", '\0', KIND_NUMBER, AT(limits.max_connections), "NUM",
      "a number of connections",
      "Turn away those above NUM connections; 0 for no limit (default: 2048)" },
    { "max-connections-per-peer", '\0', KIND_NUMBER, AT(limits.max_connections_per_peer), "NUM",
      "a number of connections",
      "The same for each host or user (default: half as many per host)" },
    { "handshake-timeout", '\0', KIND_NUMBER, AT(limits.handshake_timeout), "SECONDS",
      "a number of seconds",
      "Cut clients that take longer to choose an export; 0 none (default: 30)" },
    { "idle-timeout", '\0', KIND_NUMBER, AT(limits.idle_timeout), "SECONDS", "a number of seconds",
      "Cut clients that are silent for longer; 0 for none (default: 0)" },
    { "max-requests", '\0', KIND_NUMBER, AT(limits.max_requests), "NUM", "a number of requests",
      "Carry out up to NUM requests of a connection at once (default: 8)", 1, LIMITS_MAX_REQUESTS },
    { "max-bytes", '\0', KIND_SIZE, AT(limits.max_bytes), "SIZE", "a number of bytes, as in 64M",
      "Memory for the requests of a connection; 0 for no limit (default: 32M)" },
    { "stop-timeout", '\0', KIND_NUMBER, AT(limits.stop_timeout), "SECONDS", "a number of seconds",
      "Let requests in flight finish for so long at the end (default: 5)" },
    { "busy-poll", '\0', KIND_NUMBER, AT(limits.busy_poll), "USEC", "a number of microseconds",
      "Look out for the next request for so long before sleeping (default: 50)", 0,
      LIMITS_MAX_BUSY_POLL },
    { "run", '\0', KIND_NAME, AT(run), "CMD", "a command",
      "Serve on a private socket while the shell runs CMD, with $uri set" },
    { "pid-file", '\0', KIND_NAME, AT(pid_file), "PATH", "a path",
      "Write the process ID there once clients can connect" },
    { "exit-with-parent", '\0', KIND_FLAG, AT(exit_with_parent), NULL, NULL,
      "Exit when the process that started this one does" },
    { "user", '\0', KIND_NAME, AT(user), "NAME", "the name or number of a user",
      "Become this user as soon as images are open and sockets bound" },
    { "group", '\0', KIND_NAME, AT(group), "NAME", "the name or number of a group",
      "Take this group, too (default: that of --user)" },
    { "sandbox", '\0', KIND_NAME, AT(sandbox), "WORD", "auto, on or off",
      "Give up all rights that are not needed: auto (default), on or off" },
    { "log-format", '\0', KIND_NAME, AT(log_format), "FORMAT", "text, json or journal",
      "Log as text, json or journal (default: journal under systemd, else text)" },
    { "metrics", '\0', KIND_NAME, AT(metrics), "ADDRESS", "unix:PATH or tcp:[HOST:]PORT",
      "Tell metrics to Prometheus there: unix:PATH or tcp:[HOST:]PORT" },
    { "verbose", 'v', KIND_FLAG, AT(verbose), NULL, NULL, "Log every connection and option" },
    { "help", 'h', KIND_HELP, 0, NULL, NULL, "Print this help and exit" },
    { "version", 'V', KIND_FLAG, AT(version), NULL, NULL, "Print the version and exit" },
};

static const char introduction[] =
    "Usage: strata-nbd [OPTION...] [IMAGE]\n\n"
    "Serves a graph of disk images over NBD, read-only, and tells clients which layer\n"
    "supplies each range.\n\n";

static const char epilogue[] =
    "\nIMAGE is a file name, \"json:{...}\", or with --image-opts \"driver=...,...\".\n"
    "Without -k, -b, -p, --listen, --run, --single and sockets of systemd's, it is\n"
    "served on every interface, TCP port 10809.\n"
    "See strata-nbd(8).\n";

/* What getopt_long() returns for a long option: its place in rows, then in qemu_options. Above
 * every letter, so that '?' and ':' keep their meaning. */
#define FIRST_CODE 256

static void
print_help(void)
{
    fputs(introduction, stdout);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        char letter[] = { '-', rows[i].letter, ',', '\0' };
        g_autofree char *name =
            g_strconcat("--", rows[i].name, rows[i].value != NULL ? "=" : "", rows[i].value, NULL);

        printf("  %3s %-24s %s\n", rows[i].letter != '\0' ? letter : "", name, rows[i].help);
    }
    fputs(epilogue, stdout);
}

gboolean
options_fail(GError **error, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list arguments;

    va_start(arguments, format);
    message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STRATA_ERROR, STRATA_ERROR_SPEC, message);
    options_point_to_help(error);
    return FALSE;
}

void
options_point_to_help(GError **error)
{
    g_autofree char *message = NULL;

    if (error == NULL || *error == NULL)
        return;
    message = g_strconcat((*error)->message, " (see strata-nbd --help)", NULL);
    g_free((*error)->message);
    (*error)->message = g_steal_pointer(&message);
}

static gboolean
set_number(int *member, const Row *row, const char *value, GError **error)
{
    int most = row->most != 0 ? row->most : G_MAXINT;
    guint64 number;

    if (!g_ascii_string_to_unsigned(value, 10, (guint64)row->least, (guint64)most, &number, NULL))
        return options_fail(error, "--%s takes %s from %d to %d, not '%s'", row->name, row->needs,
                            row->least, most, value);
    *member = (int)number;
    return TRUE;
}

static gboolean
set_size(gint64 *member, const Row *row, const char *value, GError **error)
{
    g_autofree char *escaped = strata_escape(value);

    return limits_parse_size(value, member) ||
           options_fail(error, "--%s takes %s, not '%s'", row->name, row->needs, escaped);
}

static void
append(char ***list, const char *value)
{
    guint length = *list == NULL ? 0 : g_strv_length(*list);

    *list = g_renew(char *, *list, length + 2);
    (*list)[length] = g_strdup(value);
    (*list)[length + 1] = NULL;
}

/* The last use of an option counts. */
static void
set_text(char **member, const char *value)
{
    g_free(*member);
    *member = g_strdup(value);
}

static gboolean
apply(Options *options, const Row *row, const char *value, GError **error)
{
    gpointer member = G_STRUCT_MEMBER_P(options, row->member);

    if ((row->kind == KIND_NAME || row->kind == KIND_NAMES) && *value == '\0')
        return options_fail(error, "--%s needs %s", row->name, row->needs);
    switch (row->kind) {
    case KIND_FLAG:
        *(gboolean *)member = TRUE;
        return TRUE;
    case KIND_TEXT:
    case KIND_NAME:
        set_text(member, value);
        return TRUE;
    case KIND_NAMES:
        append(member, value);
        return TRUE;
    case KIND_NUMBER:
        return set_number(member, row, value, error);
    case KIND_SIZE:
        return set_size(member, row, value, error);
    case KIND_HELP:
        print_help();
        exit(EXIT_SUCCESS);
    }
    return TRUE;
}

/* A value of an option of qemu-nbd's is optional here: it is refused with or without. */
static struct option *
list_long_options(void)
{
    struct option *list = g_new0(struct option, G_N_ELEMENTS(rows) + qemu_options_count + 1);

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        list[i] = (struct option){
            .name = rows[i].name,
            .has_arg = rows[i].value != NULL ? required_argument : no_argument,
            .val = FIRST_CODE + (int)i,
        };
    for (gsize i = 0; i < qemu_options_count; i++)
        list[G_N_ELEMENTS(rows) + i] = (struct option){
            .name = qemu_options[i].name,
            .has_arg = optional_argument,
            .val = FIRST_CODE + (int)(G_N_ELEMENTS(rows) + i),
        };
    return list;
}

/* The colon in front: a missing value is told apart from an unknown option, and getopt_long()
 * itself prints nothing. */
static char *
list_letters(void)
{
    g_autoptr(GString) letters = g_string_new(":");

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].letter != '\0')
            g_string_append_printf(letters, "%c%s", rows[i].letter,
                                   rows[i].value != NULL ? ":" : "");
    for (gsize i = 0; i < qemu_options_count; i++)
        if (qemu_options[i].letter != '\0')
            g_string_append_printf(letters, "%c", qemu_options[i].letter);
    return g_string_free(g_steal_pointer(&letters), FALSE);
}

/* @code: of getopt_long(): a letter or from FIRST_CODE up */
static const Row *
find_row(int code)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (code == FIRST_CODE + (int)i || (code != '\0' && code == rows[i].letter))
            return &rows[i];
    return NULL;
}

static const QemuOption *
find_qemu_option(int code)
{
    for (gsize i = 0; i < qemu_options_count; i++)
        if (code == FIRST_CODE + (int)(G_N_ELEMENTS(rows) + i) ||
            (code != '\0' && code == qemu_options[i].letter))
            return &qemu_options[i];
    return NULL;
}

/* The names that begin with @word (without the dashes), for a message; NULL if there is at most
 * one. */
static char *
list_matches(const struct option *list, const char *word)
{
    gsize length = strcspn(word, "=");
    g_autoptr(GString) matches = g_string_new(NULL);
    guint count = 0;

    for (; list->name != NULL; list++)
        if (strncmp(list->name, word, length) == 0)
            g_string_append_printf(matches, "%s--%s", count++ == 0 ? "" : ", ", list->name);
    return count > 1 ? g_strdup(matches->str) : NULL;
}

/* getopt_long() has said '?': optopt is 0 for a word that is no option, the option's code where a
 * flag was given a value, else a letter. */
static gboolean
refuse_unknown(const struct option *list, const char *word, GError **error)
{
    const Row *row = find_row(optopt);
    g_autofree char *escaped = strata_escape(word);
    g_autofree char *matches = NULL;
    char letter[] = { (char)optopt, '\0' };
    g_autofree char *escaped_letter = strata_escape(letter);

    if (row != NULL)
        return options_fail(error, "--%s takes no value, but there is one: '%s'", row->name,
                            escaped);
    if (optopt != 0)
        return options_fail(error, "there is no option -%s", escaped_letter);
    matches = list_matches(list, word + strlen("--"));
    if (matches != NULL)
        return options_fail(error, "'%s' may mean any of %s", escaped, matches);
    return options_fail(error, "there is no option %s", escaped);
}

static gboolean
refuse_qemu_option(const QemuOption *option, int code, GError **error)
{
    g_autofree char *letter = code < FIRST_CODE
                                  ? g_strdup_printf("-%c (--%s)", option->letter, option->name)
                                  : g_strdup_printf("--%s", option->name);

    return options_fail(error, "qemu-nbd's option %s is not one of strata-nbd's: %s", letter,
                        option->instead);
}

/* @word: where getopt_long() stood. */
static gboolean
take_option(Options *options, int code, const struct option *list, const char *word, GError **error)
{
    const QemuOption *foreign = find_qemu_option(code);
    const Row *row = find_row(code == ':' ? optopt : code);

    if (foreign != NULL)
        return refuse_qemu_option(foreign, code, error);
    if (row == NULL)
        return refuse_unknown(list, word, error);
    if (code == ':')
        return options_fail(error, "--%s needs %s", row->name, row->needs);
    return apply(options, row, optarg, error);
}

static gboolean
take_options(Options *options, int argc, char **argv, GError **error)
{
    g_autofree struct option *list = list_long_options();
    g_autofree char *letters = list_letters();
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, letters, list, NULL)) != -1)
        if (!take_option(options, code, list, argv[optind - 1], error))
            return FALSE;
    return TRUE;
}

static gboolean
check_snapshot(Options *options, GError **error)
{
    if (options->load_snapshot == NULL ||
        snapshot_query_parse(&options->snapshot_query, options->load_snapshot, error))
        return TRUE;
    options_point_to_help(error);
    return FALSE;
}

static gboolean
check_tls(const Options *options, GError **error)
{
    if (tls_settings_check(&options->tls, error))
        return TRUE;
    options_point_to_help(error);
    return FALSE;
}

typedef struct {
    GError **error;
    gboolean failed;
} LackReport;

static void
refuse_lack(const char *word, const char *why, gpointer user_data)
{
    LackReport *report = user_data;
    g_autofree char *shown = strata_escape(word);

    if (!report->failed)
        options_fail(report->error, "--access: the rule '%s' %s", shown, why);
    report->failed = TRUE;
}

/* Rules that are no rules are told where they are read to be used. */
static gboolean
check_access(const Options *options, GError **error)
{
    AccessProofs proofs = tls_settings_get_proofs(&options->tls);
    g_autoptr(AccessRules) rules = NULL;
    LackReport report = { .error = error };

    if (options->access == NULL)
        return TRUE;
    rules = access_rules_new((const char *const *)options->access, NULL);
    access_rules_foreach_lack(rules, &proofs, refuse_lack, &report);
    return !report.failed;
}

/* An option that says how to open what the command line names, with nothing there to open. */
static const char *
find_idle_option(const Options *options, gboolean *out_is_for_directory)
{
    const struct {
        gboolean is_given;
        gboolean is_for_directory; /* too */
        const char *name;
    } given[] = {
        { options->image_opts, FALSE, "--image-opts" },
        { options->load_snapshot != NULL, FALSE, "--load-snapshot" },
        { options->bitmaps != NULL, FALSE, "--bitmap" },
        { options->description != NULL, FALSE, "--description" },
        { options->format != NULL, TRUE, "--format" },
        { options->backing_format != NULL, TRUE, "--backing-format" },
        { options->allow != NULL, TRUE, "--allow" },
        { options->allow_protocols != NULL, TRUE, "--allow-protocols" },
        { options->probe, TRUE, "--probe" },
        { options->force_share, TRUE, "--force-share" },
        { options->metadata_cache != NULL, TRUE, "--metadata-cache" },
        { options->objects != NULL, TRUE, "--object" },
        { options->access != NULL, TRUE, "--access" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(given); i++)
        if (given[i].is_given && (options->directory == NULL || !given[i].is_for_directory)) {
            *out_is_for_directory = given[i].is_for_directory;
            return given[i].name;
        }
    return NULL;
}

static gboolean
check_image(const Options *options, GError **error)
{
    const char *idle;
    gboolean is_for_directory = FALSE;

    if (options->image != NULL)
        return TRUE;
    if (options->config == NULL && options->directory == NULL)
        return options_fail(error, "no image was given");
    idle = find_idle_option(options, &is_for_directory);
    if (idle == NULL)
        return TRUE;
    return options_fail(error, "%s is about %s on the command line, and there is none", idle,
                        is_for_directory ? "an IMAGE or a --directory" : "an IMAGE");
}

static gboolean
check(Options *options, GError **error)
{
    if (options->version)
        return TRUE;
    if (!check_image(options, error))
        return FALSE;
    if (options->socket != NULL && (options->bind != NULL || options->port != NULL))
        return options_fail(error, "--socket does not go with --bind or --port");
    if (options->image_opts && options->format != NULL)
        return options_fail(error,
                            "--format does not go with --image-opts: write driver=FORMAT there");
    return entrances_check(options, error) && check_snapshot(options, error) &&
           check_tls(options, error) && check_access(options, error);
}

gboolean
options_parse(Options *options, int argc, char **argv, GError **error)
{
    options->shared = -1;
    options->limits = LIMIT_OPTIONS_INIT;
    if (!take_options(options, argc, argv, error))
        return FALSE;
    if (argc - optind > 1)
        return options_fail(error,
                            "there is one image too many: '%s'; put a command for --run in quotes",
                            argv[optind + 1]);
    options->image = g_strdup(argv[optind]);
    if (options->export_name == NULL)
        options->export_name = g_strdup("");
    return check(options, error);
}

gboolean
options_exit_when_idle(const Options *options)
{
    return options->shared > 0 && !options->persistent && options->run == NULL;
}

void
options_clear(Options *options)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gpointer member = G_STRUCT_MEMBER_P(options, rows[i].member);

        if (rows[i].kind == KIND_TEXT || rows[i].kind == KIND_NAME)
            g_clear_pointer((char **)member, g_free);
        else if (rows[i].kind == KIND_NAMES)
            g_clear_pointer((char ***)member, g_strfreev);
    }
    g_free(options->image);
    snapshot_query_clear(&options->snapshot_query);
}
