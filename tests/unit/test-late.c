/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-late.c - libraries that are loaded when they are first needed. */
#include "late-gnutls.h"
#include "late-json.h"
#include "late-microhttpd.h"
#include "late-nbd.h"
#include "late-systemd.h"

#include <strata/strata.h>
#include <string.h>

static void
test_all_of_them(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(strata_load_libraries(&error));
    g_assert_no_error(error);
    g_assert_true(late_microhttpd_load(&error));
    g_assert_no_error(error);
    g_assert_true(late_systemd_load(&error));
    g_assert_no_error(error);
    g_assert_cmpstr(gnutls_strerror(0), !=, NULL);
    g_assert_true(late_gnutls_load(&error)); /* again */
}

static void
assert_refused(LateLibrary *library, const char *why)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(late_load(library, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, library->file));
    g_assert_nonnull(strstr(error->message, why));
}

static void
test_library_that_is_not_there(void)
{
    static gpointer place;
    static const LateSymbol symbols[] = { { "strlen", &place } };
    static LateLibrary library = LATE_LIBRARY("libstrata-of-nowhere.so.7", symbols);

    assert_refused(&library, "cannot open shared object file");
    g_assert_null(place);
    assert_refused(&library, "cannot open shared object file");
}

/* It is no half a library then. */
static void
test_library_without_a_symbol(void)
{
    static gpointer places[2];
    static const LateSymbol symbols[] = { { "strlen", &places[0] }, { "strloss", &places[1] } };
    static LateLibrary library = LATE_LIBRARY("libc.so.6", symbols);

    assert_refused(&library, "strloss");
    g_assert_false(library.loaded);
}

static gpointer late_strlen;
static const LateSymbol libc_symbols[] = { { "strlen", &late_strlen } };
static LateLibrary libc = LATE_LIBRARY("libc.so.6", libc_symbols);

static gpointer
load_and_use(gpointer data)
{
    gsize (*length)(const char *);

    g_assert_true(late_load(&libc, NULL));
    length = *(gsize(**)(const char *)) & late_strlen;
    return GSIZE_TO_POINTER(length("four"));
}

static void
test_threads_at_once(void)
{
    GThread *threads[8];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("load", load_and_use, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(threads[i])), ==, 4);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/late/all-of-them", test_all_of_them);
    g_test_add_func("/late/library-that-is-not-there", test_library_that_is_not_there);
    g_test_add_func("/late/library-without-a-symbol", test_library_without_a_symbol);
    g_test_add_func("/late/threads-at-once", test_threads_at_once);
    return g_test_run();
}
