/* SPDX-License-Identifier: LGPL-2.1-or-later
 * confinement.c - collects what the options need later, and gives up the rest. */
#include "confinement.h"

#include "listen/address.h"
#include "observe/log.h"
#include "run.h"

#include <errno.h>
#include <unistd.h>

void
confinement_clear(Confinement *confinement)
{
    privileges_clear(&confinement->privileges);
    sandbox_needs_clear(&confinement->needs);
}

/* A Unix socket is removed when the server ends. */
static void
note_address(SandboxNeeds *needs, const char *text)
{
    g_autoptr(StrataAddress) address = strata_address_parse(text, NULL);

    if (address != NULL && address->kind == ADDRESS_UNIX)
        sandbox_needs_remove(needs, address->path);
}

/* Credentials are read anew at SIGHUP, and whoever renews them puts other files in their place, or
 * beside what links lead to. */
static void
note_credentials(SandboxNeeds *needs, const TlsSettings *settings)
{
    g_auto(GStrv) files = tls_settings_list_files(settings);

    sandbox_needs_read(needs, settings->certificates);
    for (char **file = files; *file != NULL; file++) {
        sandbox_needs_read_around(needs, *file);
        needs->has_keys = TRUE;
    }
}

/* Rules of access name users and groups. */
static void
note_names(SandboxNeeds *needs)
{
    static const char *const paths[] = { "/etc/group", "/etc/nsswitch.conf", "/etc/passwd" };

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        sandbox_needs_read(needs, paths[i]);
}

static void
note_options(SandboxNeeds *needs, const Options *options)
{
    sandbox_needs_remove(needs, options->pid_file);
    sandbox_needs_remove(needs, options->socket);
    for (char **text = options->listen; text != NULL && *text != NULL; text++)
        note_address(needs, *text);
    if (options->metrics != NULL)
        note_address(needs, options->metrics);
    note_credentials(needs, &options->tls);
    if (options->config != NULL) {
        note_names(needs);
        needs->has_keys = TRUE; /* it may get some whenever it is read again */
    }
    sandbox_needs_add_objects(needs, options->objects);
}

/* Of which nobody knows yet what they need. */
static gboolean
may_open_more_images(const Options *options)
{
    return options->config != NULL || options->directory != NULL;
}

gboolean
confinement_prepare(Confinement *confinement, const Options *options, GError **error)
{
    if (!sandbox_mode_parse(&confinement->mode, options->sandbox, error) ||
        !privileges_find(&confinement->privileges, options->user, options->group, error)) {
        if (error != NULL && g_error_matches(*error, STRATA_ERROR, STRATA_ERROR_SPEC))
            options_point_to_help(error);
        return FALSE;
    }
    note_options(&confinement->needs, options);
    confinement->options = options;
    return !may_open_more_images(options) || strata_load_libraries(error);
}

/* With the rights that the server has from now on. What is not there, as a list of revoked
 * certificates may not be, is no trouble. */
static void
warn_of_unreadable(const char *path)
{
    g_autofree char *shown = NULL;

    if (path == NULL || access(path, R_OK) == 0 || errno != EACCES)
        return;
    shown = strata_escape(path);
    log_notice("advice",
               "the user of --user cannot read '%s': on SIGHUP what was read before will stay as "
               "it is",
               shown);
}

static void
warn_of_all_unreadable(const Options *options)
{
    g_auto(GStrv) files = tls_settings_list_files(&options->tls);

    warn_of_unreadable(options->config);
    warn_of_unreadable(options->directory);
    for (char **file = files; *file != NULL; file++)
        warn_of_unreadable(*file);
}

gboolean
confinement_drop_privileges(Confinement *confinement, const char *directory, GError **error)
{
    g_autofree char *socket = NULL;

    if (directory != NULL) {
        socket = g_build_filename(directory, RUN_SOCKET_NAME, NULL);
        sandbox_needs_remove(&confinement->needs, socket);
        sandbox_needs_remove_dir(&confinement->needs, directory);
        if (!privileges_give(&confinement->privileges, directory, RUN_SOCKET_NAME, error))
            return FALSE;
    }
    if (!privileges_drop(&confinement->privileges, error))
        return FALSE;
    if (confinement->privileges.wanted)
        warn_of_all_unreadable(confinement->options);
    return TRUE;
}

gboolean
confinement_enter(Confinement *confinement, pid_t child, GError **error)
{
    confinement->needs.child = child;
    return sandbox_enter(confinement->mode, &confinement->needs, error);
}
