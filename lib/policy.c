/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.c - what the names in image headers may lead to (strata-security(7)).
 *
 * A name from a header is opened beneath a directory that we hold open, with openat2() and
 * RESOLVE_BENEATH: the kernel itself then refuses to leave that directory, by "..", by symbolic
 * link or by a race. Comparing paths only chooses the directory to try; it grants nothing. */
#include "policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver.h"
#include "error.h"
#include "node.h"
#include "spec.h"

/* O_NONBLOCK: a FIFO with no writer must not hang us; regular files and devices do not mind. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* A directory that names from headers may lead beneath. */
typedef struct {
    char *path; /* absolute, without "." and ".." */
    int fd;     /* O_PATH */
} AllowedDir;

struct _StrataPolicy {
    gint ref_count;       /* atomic */
    GPtrArray *dirs;      /* AllowedDir, owned */
    char *backing_format; /* nullable */
};

struct _PolicyGate {
    StrataPolicy *policy; /* owned */
    GPtrArray *own_dirs;  /* AllowedDir, owned: the topmost image's, as named and as it really is */
};

static void
allowed_dir_free(AllowedDir *dir)
{
    close(dir->fd);
    g_free(dir->path);
    g_free(dir);
}

/* NULL with errno set if @path cannot be opened as a directory. */
static AllowedDir *
allowed_dir_open(const char *path)
{
    AllowedDir *dir;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    dir = g_new0(AllowedDir, 1);
    dir->path = g_canonicalize_filename(path, NULL);
    dir->fd = fd;
    return dir;
}

StrataPolicy *
strata_policy_new(void)
{
    StrataPolicy *policy = g_new0(StrataPolicy, 1);

    policy->ref_count = 1;
    policy->dirs = g_ptr_array_new_with_free_func((GDestroyNotify)allowed_dir_free);
    return policy;
}

StrataPolicy *
strata_policy_ref(StrataPolicy *policy)
{
    g_atomic_int_inc(&policy->ref_count);
    return policy;
}

void
strata_policy_unref(StrataPolicy *policy)
{
    if (!g_atomic_int_dec_and_test(&policy->ref_count))
        return;
    g_ptr_array_unref(policy->dirs);
    g_free(policy->backing_format);
    g_free(policy);
}

/* Adds @path and, where symbolic links make it another, the directory that it really is: names in
 * headers are written in either. */
static gboolean
add_dir_twice(GPtrArray *dirs, const char *path)
{
    g_autofree char *real_path = realpath(path, NULL);
    AllowedDir *dir = allowed_dir_open(path);
    AllowedDir *real_dir;

    if (!dir)
        return FALSE;
    g_ptr_array_add(dirs, dir);
    real_dir = real_path && !g_str_equal(real_path, dir->path) ? allowed_dir_open(real_path) : NULL;
    if (real_dir)
        g_ptr_array_add(dirs, real_dir);
    return TRUE;
}

gboolean
strata_policy_allow_dir(StrataPolicy *policy, const char *dir, GError **error)
{
    int saved_errno;
    g_autofree char *shown = NULL;

    if (add_dir_twice(policy->dirs, dir))
        return TRUE;
    saved_errno = errno;
    shown = strata_escape(dir);
    g_set_error(error, STRATA_ERROR,
                saved_errno == ENOENT ? STRATA_ERROR_NOT_FOUND : STRATA_ERROR_IO,
                "cannot open the allowed directory '%s': %s", shown, g_strerror(saved_errno));
    return FALSE;
}

gboolean
strata_policy_set_backing_format(StrataPolicy *policy, const char *format, GError **error)
{
    const StrataDriver *driver = format ? strata_driver_find(format) : NULL;

    if (format && (!driver || driver->is_protocol)) {
        g_autofree char *shown = strata_escape(format);

        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "'%s' cannot be the format of backing files; the formats are qcow2 and raw",
                    shown);
        return FALSE;
    }
    g_free(policy->backing_format);
    policy->backing_format = g_strdup(format);
    return TRUE;
}

/* The directory of the topmost image. Where it is not there, the image is not there either, and
 * opening that says so better. */
static void
add_own_dirs(GPtrArray *dirs, const char *top_filename)
{
    g_autofree char *dir = g_path_get_dirname(top_filename);
    g_autofree char *real_file = realpath(top_filename, NULL);
    g_autofree char *real_dir = real_file ? g_path_get_dirname(real_file) : NULL;

    add_dir_twice(dirs, dir);
    if (real_dir)
        add_dir_twice(dirs, real_dir);
}

PolicyGate *
policy_gate_new(StrataPolicy *policy, const char *top_filename)
{
    PolicyGate *gate = g_new0(PolicyGate, 1);

    gate->policy = policy ? strata_policy_ref(policy) : strata_policy_new();
    gate->own_dirs = g_ptr_array_new_with_free_func((GDestroyNotify)allowed_dir_free);
    if (top_filename)
        add_own_dirs(gate->own_dirs, top_filename);
    return gate;
}

void
policy_gate_free(PolicyGate *gate)
{
    strata_policy_unref(gate->policy);
    g_ptr_array_unref(gate->own_dirs);
    g_free(gate);
}

/* What of absolute @path lies beneath @dir, or NULL if it does not. */
static const char *
path_beneath(const AllowedDir *dir, const char *path)
{
    gsize length = strlen(dir->path);

    if (g_str_equal(dir->path, "/"))
        return path + 1;
    return g_str_has_prefix(path, dir->path) && path[length] == '/' ? path + length + 1 : NULL;
}

/* Opens absolute @path beneath the first of @dirs that has it: a descriptor, or -1 with errno,
 * EXDEV where it lies beneath none of them. */
static int
open_beneath(GPtrArray *dirs, const char *path)
{
    const struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };

    for (guint i = 0; i < dirs->len; i++) {
        const AllowedDir *dir = dirs->pdata[i];
        const char *rest = path_beneath(dir, path);
        int fd = rest ? (int)syscall(SYS_openat2, dir->fd, rest, &how, sizeof how) : -1;

        if (rest && (fd >= 0 || errno != EXDEV))
            return fd;
    }
    errno = EXDEV;
    return -1;
}

/* Own directories first, then the allowed ones. */
static int
open_beneath_any(PolicyGate *gate, const char *path)
{
    int fd = open_beneath(gate->own_dirs, path);

    return fd < 0 && errno == EXDEV ? open_beneath(gate->policy->dirs, path) : fd;
}

/* A symbolic link that leaves its directory may still lead into an allowed one: the second try is
 * for where the name really leads, under the same confinement. */
static int
open_confined(PolicyGate *gate, const char *filename)
{
    g_autofree char *path = g_canonicalize_filename(filename, NULL);
    g_autofree char *real_path = NULL;
    int fd = open_beneath_any(gate, path);

    if (fd >= 0 || errno != EXDEV)
        return fd;
    real_path = realpath(path, NULL);
    if (!real_path) {
        /* Outside: whether anything is there at all is not told either. */
        errno = EXDEV;
        return -1;
    }
    return open_beneath_any(gate, real_path);
}

static const char *
describe_type(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISSOCK(mode) ? "a socket"
                            : "no file";
}

static gboolean
throw_open_failed(GError **error, StrataNode *node, const char *filename, int saved_errno)
{
    g_autofree char *shown = strata_escape(filename);

    if (saved_errno == EXDEV && spec_is_from_header(node->spec)) {
        return strata_throw(
            error, node, STRATA_ERROR_POLICY,
            "an image header names '%s', which does not lie beneath the directory "
            "of the topmost image; \"--allow DIR\" (nbdkit: allow=DIR) allows another directory",
            shown);
    }
    if (saved_errno == ENOSYS) {
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "opening what a header names needs openat2(), which this kernel does "
                            "not have; name '%s' in the spec",
                            shown);
    }
    if (saved_errno == ENXIO) {
        return strata_throw(error, node, STRATA_ERROR_IO,
                            "'%s' is a socket or a device with nothing behind it; an image is a "
                            "regular file or a block device",
                            shown);
    }
    return strata_throw_errno(error, node, saved_errno, "cannot open it");
}

static gboolean
check_type(StrataNode *node, const char *filename, int fd, struct stat *out_stat, GError **error)
{
    g_autofree char *shown = strata_escape(filename);

    if (fstat(fd, out_stat) < 0)
        return strata_throw_errno(error, node, errno, "cannot examine '%s'", shown);
    if (!S_ISREG(out_stat->st_mode) && !S_ISBLK(out_stat->st_mode)) {
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "'%s' is %s; an image is a regular file or a block device", shown,
                            describe_type(out_stat->st_mode));
    }
    return TRUE;
}

int
policy_gate_open_file(PolicyGate *gate, StrataNode *node, struct stat *out_stat, GError **error)
{
    const char *filename = spec_get_text(node->spec, "filename");
    int fd;

    if (!filename || !*filename) {
        strata_throw(error, node, STRATA_ERROR_SPEC, "a file needs its \"filename\"");
        return -1;
    }
    fd = spec_is_from_header(node->spec) ? open_confined(gate, filename)
                                         : open(filename, OPEN_FLAGS);
    if (fd < 0) {
        throw_open_failed(error, node, filename, errno);
        return -1;
    }
    if (!check_type(node, filename, fd, out_stat, error)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The directory of the file that holds the header of @holder, as that file was named: like QEMU,
 * and so that links to an image keep their own neighbours. */
static char *
directory_of(StrataNode *holder)
{
    const char *filename = spec_get_text(spec_get_leaf(holder->spec), "filename");

    return filename ? g_path_get_dirname(filename) : g_strdup(".");
}

/* The driver for what the header calls @format. A format that is not said is not guessed: a guest
 * can write a qcow2 header into its raw disk. */
static const char *
choose_backing_driver(PolicyGate *gate, const char *format, StrataError code_if_unsaid,
                      GError **error)
{
    const char *chosen = format ? format : gate->policy->backing_format;
    const StrataDriver *driver = chosen ? strata_driver_find(chosen) : NULL;
    g_autofree char *shown = chosen ? strata_escape(chosen) : NULL;

    if (driver && !driver->is_protocol)
        return driver->name;
    if (chosen) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED,
                    "the header says that the backing file has the format '%s'; the formats that "
                    "strata reads are qcow2 and raw (\"backing.driver\" says it instead of the "
                    "header)",
                    shown);
        return NULL;
    }
    g_set_error(
        error, STRATA_ERROR, code_if_unsaid,
        "the header does not say which format the backing file has, and strata does not "
        "guess; \"--backing-format FORMAT\" (nbdkit: backing-format=FORMAT) or \"backing.driver\" "
        "says it");
    return NULL;
}

/* Whether the user has said all that a header could add. */
static gboolean
says_where(StrataSpec *given)
{
    return given && (spec_get_child(given, STRATA_ROLE_FILE) || spec_get_text(given, "filename"));
}

/* The user's word goes before the header's. */
static const char *
choose_driver(PolicyGate *gate, StrataRole role, const char *format, StrataSpec *given,
              GError **error)
{
    StrataError code_if_unsaid = says_where(given) ? STRATA_ERROR_SPEC : STRATA_ERROR_POLICY;

    if (given && spec_get_driver(given))
        return spec_get_driver(given);
    /* A data file is bytes and nothing else (qcow2 specification, external data files). */
    return role == STRATA_ROLE_BACKING ? choose_backing_driver(gate, format, code_if_unsaid, error)
                                       : strata_driver_file.name;
}

/* A header may say the driver twice, as the format and within the name; it must not contradict
 * itself. */
static gboolean
check_same_driver(StrataRole role, StrataSpec *named, const char *format, GError **error)
{
    g_autofree char *shown = NULL;

    if (role != STRATA_ROLE_BACKING || !format || g_str_equal(format, spec_get_driver(named)))
        return TRUE;
    shown = strata_escape(format);
    g_set_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED,
                "the header says that the backing file has the format '%s', and the name "
                "in it says driver '%s'; \"backing\" in the spec can say which is right",
                shown, spec_get_driver(named));
    return FALSE;
}

static StrataSpec *
admit_json(PolicyGate *gate, StrataNode *holder, StrataRole role, const char *json,
           const char *format, StrataSpec *given, GError **error)
{
    g_autofree char *directory = directory_of(holder);
    g_autoptr(StrataSpec) named = spec_parse_header_json(json, directory, error);
    const char *driver;

    if (!named)
        return NULL;
    if (spec_get_driver(named)) {
        gboolean is_given = given && spec_get_driver(given);

        return is_given || check_same_driver(role, named, format, error) ? g_steal_pointer(&named)
                                                                         : NULL;
    }
    driver = choose_driver(gate, role, format, given, error);
    return driver ? spec_with_driver(named, driver, strata_role_to_string(role), error) : NULL;
}

static StrataSpec *
admit_filename(PolicyGate *gate, StrataNode *holder, StrataRole role, const char *name,
               const char *format, StrataSpec *given, GError **error)
{
    gboolean has_prefix = g_str_has_prefix(name, "file:");
    const char *filename = has_prefix ? name + strlen("file:") : name;
    g_autofree char *directory = directory_of(holder);
    g_autofree char *path = NULL;
    const char *driver;

    if (!has_prefix && spec_has_protocol(name)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_POLICY,
                    "a header may name files only, and this name has a protocol; \"%s\" in the "
                    "spec can say which image is meant",
                    strata_role_to_string(role));
        return NULL;
    }
    driver = choose_driver(gate, role, format, given, error);
    if (!driver)
        return NULL;
    path = g_path_is_absolute(filename) ? g_strdup(filename) : spec_join_path(directory, filename);
    return spec_new_header_image(driver, path);
}

/* The user's part alone, with the driver that it may leave to the header. */
static StrataSpec *
admit_given(PolicyGate *gate, StrataRole role, const char *format, StrataSpec *given,
            GError **error)
{
    const char *driver = choose_driver(gate, role, format, given, error);

    if (!driver)
        return NULL;
    return spec_get_driver(given)
               ? strata_spec_ref(given)
               : spec_with_driver(given, driver, strata_role_to_string(role), error);
}

StrataSpec *
policy_gate_admit(PolicyGate *gate, StrataNode *holder, StrataRole role, const char *name,
                  const char *format, StrataSpec *given, GError **error)
{
    gboolean is_json = name && g_str_has_prefix(name, "json:");
    g_autoptr(StrataSpec) named = NULL;

    if (says_where(given) || (given && spec_get_driver(given) && !name))
        return admit_given(gate, role, format, given, error);
    if (!name) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the spec speaks of \"%s\", but neither it nor the header names a file",
                    strata_role_to_string(role));
        return NULL;
    }
    named = is_json ? admit_json(gate, holder, role, name + strlen("json:"), format, given, error)
                    : admit_filename(gate, holder, role, name, format, given, error);
    return named && given ? spec_complete(given, named, strata_role_to_string(role), error)
                          : g_steal_pointer(&named);
}
