/* SPDX-License-Identifier: LGPL-2.1-or-later
 * entrances.c - where clients come in: what the options, the service manager and --run ask for. */
#include "entrances.h"

#include "activation.h"
#include "ids.h"
#include "listen/address.h"
#include "observe/log.h"
#include "run.h"
#include "single.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

/* Who is given a group means it to connect, for which one needs to write; and nobody else. */
#define MODE_WITH_GROUP 0660

static gboolean
read_mode(const char *text, int *out_mode, GError **error)
{
    guint64 mode;

    if (!g_ascii_string_to_unsigned(text, 8, 0, 0777, &mode, NULL))
        return options_fail(
            error, "--socket-mode takes permissions in octal, from 0 to 777, not '%s'", text);
    *out_mode = (int)mode;
    return TRUE;
}

static gboolean
read_group(const char *text, gid_t *out_group, GError **error)
{
    GError *local_error = NULL;

    if (ids_find_group(text, out_group, &local_error))
        return TRUE;
    g_prefix_error(&local_error, "--socket-group: ");
    if (g_error_matches(local_error, STRATA_ERROR, STRATA_ERROR_SPEC))
        options_point_to_help(&local_error);
    g_propagate_error(error, local_error);
    return FALSE;
}

gboolean
entrances_read_rights(const Options *options, StrataSocketRights *out_rights, GError **error)
{
    *out_rights = (StrataSocketRights){ .mode = -1, .group = (gid_t)-1 };
    if (options->socket_group != NULL) {
        out_rights->mode = MODE_WITH_GROUP;
        if (!read_group(options->socket_group, &out_rights->group, error))
            return FALSE;
    }
    return options->socket_mode == NULL ||
           read_mode(options->socket_mode, &out_rights->mode, error);
}

/* All that makes no sense with one client who is there already. */
static const char *
find_conflict(const Options *options)
{
    if (options->run != NULL)
        return "--run";
    if (options->socket != NULL)
        return "--socket";
    if (options->bind != NULL)
        return "--bind";
    if (options->port != NULL)
        return "--port";
    if (options->listen != NULL)
        return "--listen";
    if (options->shared >= 0)
        return "--shared";
    if (options->persistent)
        return "--persistent";
    return NULL;
}

static StrataAddress *
parse_listen(const char *text, GError **error)
{
    StrataAddress *address = strata_address_parse(text, error);

    if (address == NULL) {
        g_prefix_error(error, "--listen: ");
        options_point_to_help(error);
    }
    return address;
}

gboolean
entrances_check(const Options *options, GError **error)
{
    const char *conflict = options->single ? find_conflict(options) : NULL;
    StrataSocketRights rights;

    if (conflict != NULL)
        return options_fail(error,
                            "--single serves the client on standard input: %s does not go with it",
                            conflict);
    for (char **text = options->listen; text != NULL && *text != NULL; text++) {
        g_autoptr(StrataAddress) address = parse_listen(*text, error);

        if (address == NULL)
            return FALSE;
    }
    return entrances_read_rights(options, &rights, error);
}

/* Accept=yes of systemd gives the connection as it gives sockets that listen. */
static gboolean
take_client(Entrances *entrances, GError **error)
{
    HandedSocket *handed;

    if (entrances->handed->len == 0) {
        entrances->client = single_open(error);
        return entrances->client >= 0;
    }
    if (entrances->handed->len > 1) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "--single serves one client, but %u sockets were handed over",
                    entrances->handed->len);
        return FALSE;
    }
    handed = &g_array_index(entrances->handed, HandedSocket, 0);
    if (!single_check_socket(handed->fd, error))
        return FALSE;
    entrances->client = handed->fd;
    handed->fd = -1;
    return TRUE;
}

gboolean
entrances_take(Entrances *entrances, const Options *options, GError **error)
{
    entrances->handed = activation_take(error);
    if (entrances->handed == NULL)
        return FALSE;
    return !options->single || take_client(entrances, error);
}

static gboolean
listen_on(StrataEngine *engine, const StrataAddress *address, const StrataSocketRights *rights,
          GError **error)
{
    GError *local_error = NULL;

    if (strata_engine_listen(engine, address, rights, &local_error))
        return TRUE;
    if (g_error_matches(local_error, STRATA_ERROR, STRATA_ERROR_SPEC))
        options_point_to_help(&local_error);
    g_propagate_error(error, local_error);
    return FALSE;
}

static gboolean
listen_on_path(StrataEngine *engine, const char *path, const StrataSocketRights *rights,
               GError **error)
{
    g_autoptr(StrataAddress) address = address_new_unix(path);

    return listen_on(engine, address, rights, error);
}

static gboolean
listen_on_tcp(StrataEngine *engine, const Options *options, GError **error)
{
    g_autoptr(StrataAddress) address = address_new_tcp(options->bind, options->port);

    return listen_on(engine, address, NULL, error);
}

static gboolean
listen_on_all(StrataEngine *engine, char **addresses, const StrataSocketRights *rights,
              GError **error)
{
    for (char **text = addresses; text != NULL && *text != NULL; text++) {
        g_autoptr(StrataAddress) address = parse_listen(*text, error);

        if (address == NULL || !listen_on(engine, address, rights, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
listen_on_handed(Entrances *entrances, StrataEngine *engine, GError **error)
{
    for (guint i = 0; i < entrances->handed->len; i++) {
        HandedSocket *handed = &g_array_index(entrances->handed, HandedSocket, i);

        if (!strata_engine_take_listener(engine, handed->fd, error))
            return FALSE;
        handed->fd = -1;
    }
    return TRUE;
}

/* What there is if nobody says where: for --run a socket of its own, else TCP. */
static gboolean
listen_by_default(Entrances *entrances, StrataEngine *engine, const Options *options,
                  const StrataSocketRights *rights, GError **error)
{
    g_autofree char *path = NULL;

    if (options->run == NULL)
        return listen_on_tcp(engine, options, error);
    entrances->directory = run_make_directory(error);
    if (entrances->directory == NULL)
        return FALSE;
    path = g_build_filename(entrances->directory, RUN_SOCKET_NAME, NULL);
    return listen_on_path(engine, path, rights, error);
}

gboolean
entrances_open(Entrances *entrances, StrataEngine *engine, const Options *options, GError **error)
{
    gboolean on_tcp = options->bind != NULL || options->port != NULL;
    StrataSocketRights rights;

    if (options->single)
        return TRUE;
    if (!entrances_read_rights(options, &rights, error) ||
        !listen_on_handed(entrances, engine, error))
        return FALSE;
    if (entrances->handed->len == 0 && options->socket == NULL && !on_tcp &&
        options->listen == NULL)
        return listen_by_default(entrances, engine, options, &rights, error);
    if (options->socket != NULL && !listen_on_path(engine, options->socket, &rights, error))
        return FALSE;
    if (on_tcp && !listen_on_tcp(engine, options, error))
        return FALSE;
    return listen_on_all(engine, options->listen, &rights, error);
}

gboolean
entrances_start(Entrances *entrances, StrataEngine *engine, GError **error)
{
    int client = entrances->client;

    if (client < 0)
        return strata_engine_start(engine, error);
    if (!single_start(error))
        return FALSE;
    entrances->client = -1;
    return strata_engine_serve(engine, client, error);
}

void
entrances_tell(StrataEngine *engine, const Options *options)
{
    gboolean loud = options->run == NULL && strata_engine_has_chosen_port(engine);
    g_auto(GStrv) uris = strata_engine_list_uris(engine, options->export_name);
    g_auto(GStrv) places = strata_engine_list_places(engine, options->export_name);

    for (char **uri = uris; loud && *uri != NULL; uri++)
        printf("listening on %s\n", *uri);
    fflush(stdout);
    for (char **place = places; *place != NULL; place++)
        log_event_with(&(LogFields){ .event = "listening" }, "listening on %s", *place);
}

void
entrances_warn(StrataEngine *engine, const Options *options, gboolean has_rules)
{
    if (has_rules || tls_settings_get_mode(&options->tls) != TLS_OFF ||
        !strata_engine_is_on_network(engine))
        return;
    log_notice("advice", "all that is served can be read, unencrypted, by everybody who can "
                         "connect to this machine by TCP; --bind=localhost, --socket, --tls or "
                         "--access would change that");
}

char *
entrances_describe(StrataEngine *engine, const Options *options)
{
    g_auto(GStrv) places = strata_engine_list_places(engine, options->export_name);
    g_autofree char *line = g_strjoinv(", ", places);

    if (options->single)
        return g_strdup("serving one client");
    return g_strconcat("listening on ", line, NULL);
}

void
entrances_close(Entrances *entrances)
{
    if (entrances->client >= 0)
        close(entrances->client);
    entrances->client = -1;
    g_clear_pointer(&entrances->handed, g_array_unref);
    if (entrances->directory != NULL)
        g_rmdir(entrances->directory);
    g_clear_pointer(&entrances->directory, g_free);
    single_close();
}
