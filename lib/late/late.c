/* SPDX-License-Identifier: LGPL-2.1-or-later
 * late.c - libraries that are loaded when they are first needed. */
#include "late.h"

#include <dlfcn.h>
#include <strata/error.h>

static gboolean
throw_not_loaded(const LateLibrary *library, GError **error)
{
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED,
                "the library %s is needed and cannot be loaded: %s", library->file, dlerror());
    return FALSE;
}

static gboolean
find_symbols(const LateLibrary *library, void *handle, GError **error)
{
    for (gsize i = 0; i < library->n_symbols; i++) {
        *library->symbols[i].place = dlsym(handle, library->symbols[i].name);
        if (*library->symbols[i].place == NULL)
            return throw_not_loaded(library, error);
    }
    return TRUE;
}

/* Whoever comes here after the first sees, by the lock, what that one has written. It is bound at
 * once: what a function of it needs is not looked for later, with the rights that there are then.
 */
gboolean
late_load(LateLibrary *library, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&library->lock);
    void *handle;

    if (library->loaded)
        return TRUE;
    handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return throw_not_loaded(library, error);
    library->loaded = find_symbols(library, handle, error);
    if (!library->loaded)
        dlclose(handle);
    return library->loaded;
}
