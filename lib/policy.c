/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.c - what the names in image headers may lead to (strata-security(7)). Files are opened
 * here, by the means of confine.c. */
#include "policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "driver.h"
#include "error.h"
#include "nbd/name.h"
#include "node.h"
#include "spec.h"

/* A walk through 64 layers has a table of each in use, 64 KiB mostly; with less, it would not find
 * any of the small ones again. The most is that of a guest of 512 TiB in clusters of 64 KiB. */
#define MIN_METADATA_CACHE (G_GUINT64_CONSTANT(1) << 20)
#define MAX_METADATA_CACHE (G_GUINT64_CONSTANT(64) << 30)

struct _StrataPolicy {
    gint ref_count;       /* atomic */
    GPtrArray *dirs;      /* of confine.h, owned */
    char *backing_format; /* nullable */
    Objects *objects;     /* owned */
    gboolean probe;       /* recognise the format of a backing file that nobody says */
    gsize metadata_cache; /* bytes */
    gboolean force_share;
    gboolean allows_nbd; /* headers may name NBD servers */
    gboolean confined;   /* the topmost image, too, lies beneath dirs */
};

struct _PolicyGate {
    gint ref_count;       /* atomic */
    StrataPolicy *policy; /* owned */
    char *top_filename;   /* nullable */
    GPtrArray *own_dirs;  /* of confine.h, owned: the topmost image's; empty until it is opened */
};

StrataPolicy *
strata_policy_new(void)
{
    StrataPolicy *policy = g_new0(StrataPolicy, 1);

    policy->ref_count = 1;
    policy->dirs = confine_dirs_new();
    policy->objects = objects_new();
    policy->metadata_cache = POLICY_DEFAULT_METADATA_CACHE;
    return policy;
}

StrataPolicy *
strata_policy_copy(const StrataPolicy *policy)
{
    StrataPolicy *copy = g_new(StrataPolicy, 1);

    *copy = *policy;
    copy->ref_count = 1;
    copy->dirs = confine_dirs_copy(policy->dirs);
    copy->backing_format = g_strdup(policy->backing_format);
    copy->objects = objects_copy(policy->objects);
    return copy;
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
    objects_free(policy->objects);
    g_free(policy);
}

gboolean
strata_policy_allow_dir(StrataPolicy *policy, const char *dir, GError **error)
{
    int saved_errno;
    g_autofree char *shown = NULL;

    if (confine_add_dir(policy->dirs, dir))
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
                    "'%s' cannot be the format of backing files; the formats are luks, qcow2 and "
                    "raw",
                    shown);
        return FALSE;
    }
    g_free(policy->backing_format);
    policy->backing_format = g_strdup(format);
    return TRUE;
}

gboolean
strata_policy_allow_protocols(StrataPolicy *policy, const char *protocols, GError **error)
{
    g_auto(GStrv) words = g_strsplit(protocols, ",", -1);

    for (guint i = 0; words[i] || i == 0; i++) {
        g_autofree char *shown = words[i] ? strata_escape(words[i]) : g_strdup("");

        if (g_strcmp0(words[i], strata_driver_nbd.name) != 0) {
            g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                        "'%s' is no protocol that can be allowed; there is nbd", shown);
            return FALSE;
        }
    }
    policy->allows_nbd = TRUE;
    return TRUE;
}

void
strata_policy_set_force_share(StrataPolicy *policy, gboolean force_share)
{
    policy->force_share = force_share;
}

void
strata_policy_set_probe(StrataPolicy *policy, gboolean probe)
{
    policy->probe = probe;
}

void
strata_policy_set_confined(StrataPolicy *policy, gboolean confined)
{
    policy->confined = confined;
}

gboolean
strata_policy_set_metadata_cache(StrataPolicy *policy, guint64 bytes, GError **error)
{
    if (bytes < MIN_METADATA_CACHE || bytes > MIN(MAX_METADATA_CACHE, G_MAXSIZE)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_SPEC,
                    "the metadata cache can have from 1M to 64G, and not %" G_GUINT64_FORMAT
                    " bytes",
                    bytes);
        return FALSE;
    }
    policy->metadata_cache = (gsize)bytes;
    return TRUE;
}

gboolean
strata_policy_add_object(StrataPolicy *policy, const char *text, GError **error)
{
    return objects_add(policy->objects, text, error);
}

PolicyGate *
policy_gate_new(StrataPolicy *policy, const char *top_filename)
{
    PolicyGate *gate = g_new0(PolicyGate, 1);

    gate->ref_count = 1;
    gate->policy = policy ? strata_policy_ref(policy) : strata_policy_new();
    gate->top_filename = g_strdup(top_filename);
    gate->own_dirs = confine_dirs_new();
    return gate;
}

PolicyGate *
policy_gate_ref(PolicyGate *gate)
{
    g_atomic_int_inc(&gate->ref_count);
    return gate;
}

void
policy_gate_unref(PolicyGate *gate)
{
    if (!g_atomic_int_dec_and_test(&gate->ref_count))
        return;
    strata_policy_unref(gate->policy);
    g_free(gate->top_filename);
    g_ptr_array_unref(gate->own_dirs);
    g_free(gate);
}

const Objects *
policy_gate_get_objects(PolicyGate *gate)
{
    return gate->policy->objects;
}

gboolean
policy_gate_shares(PolicyGate *gate)
{
    return gate->policy->force_share;
}

gsize
policy_gate_get_metadata_cache(PolicyGate *gate)
{
    return gate->policy->metadata_cache;
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
throw_open_failed(PolicyGate *gate, GError **error, StrataNode *node, const char *filename,
                  int saved_errno)
{
    g_autofree char *shown = strata_escape(filename);

    if (saved_errno == EXDEV && spec_is_from_header(node->spec)) {
        return strata_throw(
            error, node, STRATA_ERROR_POLICY,
            "an image header names '%s', which does not lie beneath the directory "
            "of the topmost image; \"--allow DIR\" (nbdkit: allow=DIR) allows another directory",
            shown);
    }
    if (saved_errno == EXDEV && gate->policy->confined) {
        return strata_throw(error, node, STRATA_ERROR_POLICY,
                            "'%s' does not lie beneath the directories in which images may be",
                            shown);
    }
    if (saved_errno == ENOSYS) {
        return strata_throw(error, node, STRATA_ERROR_UNSUPPORTED,
                            "opening '%s' needs openat2(), where a header names it, and /proc; "
                            "one of them is not to be had here",
                            shown);
    }
    if (saved_errno == EAGAIN) {
        return strata_throw(error, node, STRATA_ERROR_IO,
                            "cannot open '%s': somebody renames directories on the way to it, or "
                            "holds a lease on it",
                            shown);
    }
    if (saved_errno == ENXIO) {
        return strata_throw(error, node, STRATA_ERROR_IO, "'%s' is a device with nothing behind it",
                            shown);
    }
    return strata_throw_errno(error, node, saved_errno, "cannot open it");
}

/* Leaves errno as it is. */
static gboolean
is_allowed_by_mode(int path_fd)
{
    int saved_errno = errno;
    gboolean is_allowed = faccessat(path_fd, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) == 0;

    errno = saved_errno;
    return is_allowed;
}

/* That the permissions allow it and the kernel does not is what rules look like that the process
 * has put itself under, as strata-nbd does. */
static void
throw_sandboxed(GError **error, StrataNode *node, const char *filename)
{
    g_autofree char *shown = strata_escape(filename);

    strata_throw(error, node, STRATA_ERROR_POLICY,
                 "cannot open '%s': its permissions allow it, and the sandbox of this process does "
                 "not; strata-nbd may read what it knew of when it was started: start it anew, "
                 "where need be after naming the directory, by \"--allow DIR\" or in the "
                 "configuration by \"allow = DIR\" in [DEFAULT]; \"--sandbox=off\" does without",
                 shown);
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

/* The topmost image's file is the first of a graph that is opened: no header is read before. */
static int
find_file(PolicyGate *gate, StrataSpec *spec, const char *filename)
{
    if (spec_is_from_header(spec))
        return confine_find(gate->own_dirs, gate->policy->dirs, filename);
    if (gate->policy->confined)
        return confine_find(gate->own_dirs, gate->policy->dirs, filename);
    if (gate->own_dirs->len == 0 && g_strcmp0(filename, gate->top_filename) == 0)
        return confine_find_top(gate->own_dirs, filename);
    return confine_find_anywhere(filename);
}

/* A file is looked at before it is opened: to open a FIFO can wait for ever, and to open a device
 * can do things. */
int
policy_gate_open_file(PolicyGate *gate, StrataNode *node, struct stat *out_stat, GError **error)
{
    const char *filename = spec_get_text(node->spec, "filename");
    int path_fd, fd = -1;

    if (!filename || !*filename) {
        strata_throw(error, node, STRATA_ERROR_SPEC, "a file needs its \"filename\"");
        return -1;
    }
    path_fd = find_file(gate, node->spec, filename);
    if (path_fd < 0) {
        throw_open_failed(gate, error, node, filename, errno);
        return -1;
    }
    if (check_type(node, filename, path_fd, out_stat, error)) {
        fd = confine_reopen(path_fd);
        if (fd < 0 && errno == EACCES && is_allowed_by_mode(path_fd))
            throw_sandboxed(error, node, filename);
        else if (fd < 0)
            throw_open_failed(gate, error, node, filename, errno);
    }
    close(path_fd);
    return fd;
}

/* The directory of the file that holds the header of @holder, as that file was named: like QEMU,
 * and so that links to an image keep their own neighbours. NULL where there is none. */
static char *
directory_of(StrataNode *holder)
{
    StrataSpec *leaf = spec_get_leaf(holder->spec);
    const char *filename = spec_get_text(leaf, "filename");

    return filename && g_strcmp0(spec_get_driver(leaf), strata_driver_file.name) == 0
               ? g_path_get_dirname(filename)
               : NULL;
}

/* The driver for what the header calls @format; *out_driver is NULL where open.c is to recognise
 * it. A format that is not said is not guessed, unless the user wants it so: a guest can write a
 * qcow2 header into its raw disk. */
static gboolean
choose_backing_driver(PolicyGate *gate, const char *format, StrataError code_if_unsaid,
                      const char **out_driver, GError **error)
{
    const char *chosen = format ? format : gate->policy->backing_format;
    const StrataDriver *driver = chosen ? strata_driver_find(chosen) : NULL;
    g_autofree char *shown = chosen ? strata_escape(chosen) : NULL;

    *out_driver = driver && !driver->is_protocol ? driver->name : NULL;
    if (*out_driver || (!chosen && gate->policy->probe))
        return TRUE;
    if (chosen) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_UNSUPPORTED,
                    "the header says that the backing file has the format '%s'; the formats that "
                    "strata reads are luks, qcow2 and raw (\"backing.driver\" says it instead of "
                    "the header)",
                    shown);
        return FALSE;
    }
    g_set_error(
        error, STRATA_ERROR, code_if_unsaid,
        "the header does not say which format the backing file has, and strata does not "
        "guess; \"--backing-format FORMAT\" (nbdkit: backing-format=FORMAT) or \"backing.driver\" "
        "says it, and \"--probe\" (nbdkit: probe=on) lets it be recognised, if the images are "
        "trusted");
    return FALSE;
}

/* Whether the user has said all that a header could add. */
static gboolean
says_where(StrataSpec *given)
{
    const char *driver = given ? spec_get_driver(given) : NULL;

    return given && (spec_get_child(given, STRATA_ROLE_FILE) || spec_get_text(given, "filename") ||
                     g_strcmp0(driver, strata_driver_nbd.name) == 0);
}

/* The user's word goes before the header's. A data file is bytes and nothing else (qcow2
 * specification, external data files). */
static gboolean
choose_driver(PolicyGate *gate, StrataRole role, const char *format, StrataSpec *given,
              const char **out_driver, GError **error)
{
    StrataError code_if_unsaid = says_where(given) ? STRATA_ERROR_SPEC : STRATA_ERROR_POLICY;
    const char *said = given ? spec_get_driver(given) : NULL;

    if (!said && role == STRATA_ROLE_BACKING)
        return choose_backing_driver(gate, format, code_if_unsaid, out_driver, error);
    *out_driver = said ? said : strata_driver_file.name;
    return TRUE;
}

/* @driver: (nullable): NULL leaves @spec without one. */
static StrataSpec *
settle_driver(StrataSpec *spec, const char *driver, StrataRole role, GError **error)
{
    return driver ? spec_with_driver(spec, driver, strata_role_to_string(role), error)
                  : strata_spec_ref(spec);
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

/* Whether headers may lead to what @spec is made of. */
static gboolean
check_protocols(PolicyGate *gate, StrataSpec *spec, GError **error)
{
    if (gate->policy->allows_nbd || !spec_uses_driver(spec, strata_driver_nbd.name))
        return TRUE;
    g_set_error(
        error, STRATA_ERROR, STRATA_ERROR_POLICY,
        "it uses the driver \"nbd\", and a header may lead to an NBD server only if that is "
        "allowed: \"--allow-protocols nbd\" (nbdkit: allow-protocols=nbd)");
    return FALSE;
}

static StrataSpec *
admit_json(PolicyGate *gate, StrataNode *holder, StrataRole role, const char *json,
           const char *format, StrataSpec *given, GError **error)
{
    g_autofree char *directory = directory_of(holder);
    g_autoptr(StrataSpec) named = spec_parse_header_json(json, directory, error);
    const char *driver;

    if (!named || !check_protocols(gate, named, error))
        return NULL;
    if (spec_get_driver(named)) {
        gboolean is_given = given && spec_get_driver(given);

        return is_given || check_same_driver(role, named, format, error) ? g_steal_pointer(&named)
                                                                         : NULL;
    }
    return choose_driver(gate, role, format, given, &driver, error)
               ? settle_driver(named, driver, role, error)
               : NULL;
}

static StrataSpec *
admit_server(PolicyGate *gate, StrataRole role, const char *name, const char *format,
             StrataSpec *given, GError **error)
{
    const char *driver;
    g_autoptr(StrataSpec) named = NULL;

    if (!choose_driver(gate, role, format, given, &driver, error))
        return NULL;
    named = remote_name_to_spec(driver, name, TRUE, error);
    return named && check_protocols(gate, named, error) ? g_steal_pointer(&named) : NULL;
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

    if (remote_name_matches(name))
        return admit_server(gate, role, name, format, given, error);
    if (!has_prefix && spec_has_protocol(name)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_POLICY,
                    "a header may name files and NBD servers only, and this name has another "
                    "protocol; \"%s\" in the spec can say which image is meant",
                    strata_role_to_string(role));
        return NULL;
    }
    if (!directory && !g_path_is_absolute(filename)) {
        g_set_error(error, STRATA_ERROR, STRATA_ERROR_POLICY, SPEC_RELATIVE_TO_NOTHING);
        return NULL;
    }
    if (!choose_driver(gate, role, format, given, &driver, error))
        return NULL;
    path = g_path_is_absolute(filename) ? g_strdup(filename) : spec_join_path(directory, filename);
    return spec_new_header_image(driver, path);
}

/* The user's part alone, with the driver that it may leave to the header. */
static StrataSpec *
admit_given(PolicyGate *gate, StrataRole role, const char *format, StrataSpec *given,
            GError **error)
{
    const char *driver;

    if (!choose_driver(gate, role, format, given, &driver, error))
        return NULL;
    return spec_get_driver(given) ? strata_spec_ref(given)
                                  : settle_driver(given, driver, role, error);
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
