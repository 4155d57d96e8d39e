/* SPDX-License-Identifier: LGPL-2.1-or-later
 * temp-dir.c - real files in a directory of the test's own, and graphs over them. */
#include "temp-dir.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "qcow2-image.h"

TempDir *
temp_dir_new(void)
{
    TempDir *dir = g_new0(TempDir, 1);

    dir->path = g_dir_make_tmp("strata-XXXXXX", NULL);
    g_assert_nonnull(dir->path);
    return dir;
}

static void
remove_tree(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_tree(child);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_assert_cmpint(g_remove(path), ==, 0);
}

void
temp_dir_free(TempDir *dir)
{
    remove_tree(dir->path);
    g_free(dir->path);
    g_free(dir);
}

const char *
temp_dir_path(TempDir *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir->path, name, NULL);

    return g_intern_string(path);
}

const char *
temp_dir_put_hole(TempDir *dir, const char *name, guint64 size)
{
    const char *path = temp_dir_path(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    close(fd);
    return path;
}

void
temp_dir_put_bytes(TempDir *dir, const char *name, guint64 offset, const char *bytes, gsize length)
{
    int fd = open(temp_dir_path(dir, name), O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(pwrite(fd, bytes, length, (off_t)offset), ==, length);
    close(fd);
}

void
temp_dir_fill(TempDir *dir, const char *name, guint64 offset, gsize length, guint8 byte)
{
    g_autofree char *bytes = g_malloc(length);

    memset(bytes, byte, length);
    temp_dir_put_bytes(dir, name, offset, bytes, length);
}

const char *
temp_dir_put_qcow2(TempDir *dir, const char *name, const char *backing, const char *format)
{
    const guint64 extensions_at = 112; /* behind the header that qcow2_image_new() makes */
    const guint64 backing_at = 1024;
    const guint32 backing_format_type = 0xe2792aca;
    g_autoptr(Qcow2Image) image = qcow2_image_new(3, 16, 1024 * 1024, 0, 0);
    const char *path = temp_dir_path(dir, name);

    if (format) {
        qcow2_image_put_extension(image, extensions_at, backing_format_type, format,
                                  strlen(format));
    }
    if (backing) {
        qcow2_image_put64(image, 8, backing_at);
        qcow2_image_put32(image, 16, strlen(backing));
        qcow2_image_put_text(image, backing_at, backing);
    }
    g_assert_true(g_file_set_contents(path, (char *)image->bytes->data, image->bytes->len, NULL));
    return path;
}

StrataGraph *
open_text(const char *text, StrataPolicy *policy, GError **error)
{
    g_autoptr(StrataSpec) spec = strata_spec_parse(text, STRATA_SPEC_FILENAME, NULL, error);

    return spec ? strata_graph_open(spec, policy, error) : NULL;
}

StrataGraph *
open_format(const char *format, ...)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    StrataGraph *graph;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    graph = open_text(text, NULL, &error);
    g_assert_no_error(error);
    return graph;
}

guint
count_descriptors(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir))
        n++;
    return n;
}

void
assert_open_fails(const char *text, StrataPolicy *policy, StrataError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    guint n_before = count_descriptors();

    g_assert_null(open_text(text, policy, &error));
    g_assert_error(error, STRATA_ERROR, (int)code);
    if (!strstr(error->message, words))
        g_error("'%s' is not in the message: %s", words, error->message);
    g_assert_cmpuint(count_descriptors(), ==, n_before);
}
