/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-config.c - what a configuration file says, and what is said of one with a mistake. */
#include "exports/config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *folder, *path;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->folder = g_dir_make_tmp("st.XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->folder, "exports.conf", NULL);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    g_unlink(fixture->path);
    g_rmdir(fixture->folder);
    g_free(fixture->path);
    g_free(fixture->folder);
}

static Config *
read_text(Fixture *fixture, const char *text, GError **error)
{
    g_assert_true(g_file_set_contents(fixture->path, text, -1, NULL));
    return config_read(fixture->path, error);
}

static Export *
nth(const Config *config, guint n)
{
    g_assert_cmpuint(n, <, config->exports->len);
    return g_ptr_array_index(config->exports, n);
}

static void
test_all_keys(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = read_text(fixture,
                                         "# a comment\n"
                                         "[vm]\n"
                                         "image = disks/vm.qcow2\n"
                                         "format=qcow2\n"
                                         "description=the \\\\ server\n"
                                         "allow=.\n"
                                         "allow-protocols=nbd\n"
                                         "backing-format=raw\n"
                                         "probe=on\n"
                                         "force-share=off\n"
                                         "metadata-cache=2M\n"
                                         "bitmaps=mon;tue\n"
                                         "layers=off\n"
                                         "access=user=7;dn=CN=a\\;b\n"
                                         "on-demand=on\n"
                                         "load-snapshot=first\n"
                                         "[second]\n"
                                         "image-opts=driver=raw,file.filename=b\n",
                                         &error);
    g_autofree char *file = g_build_filename(fixture->folder, "disks/vm.qcow2", NULL);
    g_auto(GStrv) files = NULL;
    const Export *vm;

    g_assert_no_error(error);
    vm = nth(config, 0);
    g_assert_cmpstr(vm->name, ==, "vm");
    g_assert_cmpstr(vm->description, ==, "the \\ server");
    g_assert_true(vm->hides_layers);
    g_assert_true(vm->on_demand);
    g_assert_cmpuint(g_strv_length(vm->bitmaps), ==, 2);
    g_assert_cmpstr(vm->bitmaps[1], ==, "tue");
    g_assert_nonnull(vm->access);
    files = image_list_filenames(vm->image);
    g_assert_cmpuint(g_strv_length(files), ==, 1);
    g_assert_cmpstr(files[0], ==, file);
    vm = nth(config, 1);
    g_assert_cmpstr(vm->name, ==, "second");
    g_assert_null(vm->description);
    g_assert_null(vm->access);
    g_assert_null(vm->bitmaps);
    g_assert_false(vm->hides_layers || vm->on_demand);
}

static void
test_defaults(Fixture *fixture, gconstpointer data)
{
    const Peer seven = { .kind = PEER_UNIX, .uid = 7 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = read_text(fixture,
                                         "[a]\nimage=a\n[DEFAULT]\naccess=user=7\nlayers=off\n"
                                         "format=raw\n[b]\nimage=b\naccess=user=8\nlayers=on\n"
                                         "[c]\nimage-opts=driver=qcow2,file.filename=c\n",
                                         &error);

    g_assert_no_error(error);
    g_assert_cmpuint(config->exports->len, ==, 3);
    g_assert_true(access_rules_admit(nth(config, 0)->access, &seven));
    g_assert_true(nth(config, 0)->hides_layers);
    g_assert_false(access_rules_admit(nth(config, 1)->access, &seven));
    g_assert_false(nth(config, 1)->hides_layers);
}

static void
test_names(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config =
        read_text(fixture,
                  "[one]\nname=\nimage=a\n[two]\nname=[x]\nimage=a\nbitmaps=none\n"
                  "[a b@c:d]\nimage=a\nbitmaps=all\n[DEFAULTS]\nname=DEFAULT\nimage=a\n",
                  &error);

    g_assert_no_error(error);
    g_assert_cmpstr(nth(config, 0)->name, ==, "");
    g_assert_cmpstr(nth(config, 1)->name, ==, "[x]");
    g_assert_cmpuint(g_strv_length(nth(config, 1)->bitmaps), ==, 0);
    g_assert_cmpstr(nth(config, 2)->name, ==, "a b@c:d");
    g_assert_null(nth(config, 2)->bitmaps);
    g_assert_cmpstr(nth(config, 3)->name, ==, "DEFAULT");
}

/* The text of settings is what tells whether an image is the same as before. */
static void
test_settings(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Config) before = read_text(fixture, "[a]\nimage=x\naccess=any\n", NULL);
    g_autoptr(Config) other_rules = read_text(fixture, "[a]\nimage=x\naccess=tls\n", NULL);
    g_autoptr(Config) other_policy =
        read_text(fixture, "[DEFAULT]\nprobe=on\n[a]\nimage=x\n", NULL);

    g_assert_cmpstr(nth(before, 0)->settings, ==, nth(other_rules, 0)->settings);
    g_assert_cmpstr(nth(before, 0)->settings, !=, nth(other_policy, 0)->settings);
}

static void
assert_refused(Fixture *fixture, const char *text, const char *why)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(read_text(fixture, text, &error));
    g_assert_nonnull(error);
    if (strstr(error->message, why) == NULL || strstr(error->message, fixture->path) == NULL)
        g_error("'%s' is refused by \"%s\", without \"%s\"", text, error->message, why);
}

static void
test_mistakes(Fixture *fixture, gconstpointer data)
{
    g_autofree char *long_name = g_strnfill(4097, 'n');
    g_autofree char *long_text = g_strdup_printf("[a]\nname=%s\nimage=x\n", long_name);
    const struct {
        const char *text, *why;
    } mistakes[] = {
        { "image=x\n", "exports.conf: " },
        { "[a]\nimage\n", "exports.conf: " },
        { "[a\nimage=x\n", "exports.conf: " },
        { "[a]\nimage=\xff\n", "not UTF-8" },
        { "[a]\n", "[a]: there is no key 'image' or 'image-opts'" },
        { "[a]\nimage=\n", "[a], image: there is no value" },
        { "[a]\nimgae=x\n", "[a]: there is no key 'imgae'; there are access, allow," },
        { "[a]\nimage[de]=x\n", "there is no key 'image[de]'" },
        { "[a]\nimage=x\nimage-opts=driver=raw\n", "[a], image-opts: it does not go with 'image'" },
        { "[a]\nimage-opts=driver=raw,file.filename=x\nformat=raw\n", "[a], format: it does not" },
        { "[a]\nimage-opts=driver=vmdk\n", "[a], image-opts: " },
        { "[a]\nimage=http://x\n", "[a], image: " },
        { "[a]\nimage=x\nformat=vmdk\n", "there is no format 'vmdk'" },
        { "[a]\nimage=x\nlayers=perhaps\n", "[a], layers: it is on or off, not 'perhaps'" },
        { "[a]\nimage=x\non-demand=1\n", "[a], on-demand: it is on or off, not '1'" },
        { "[a]\nimage=x\nprobe=perhaps\n", "[a], probe: it is on or off, not 'perhaps'" },
        { "[a]\nimage=x\nprobe=off;YES\n", "[a], probe: it is on or off, not 'off;YES'" },
        { "[a]\nimage=x\nmetadata-cache=1\n", "[a], metadata-cache: the metadata cache can" },
        { "[a]\nimage=x\nforce-share=1\n", "[a], force-share: it is on or off, not '1'" },
        { "[a]\nimage=x\nbacking-format=raw;qcow2\n", "[a], backing-format: 'raw;qcow2'" },
        { "[a]\nimage=x\nobject=secret,id=s,fd=3\n", "[a], object: fd= can only be lent" },
        { "[DEFAULT]\nobject=secret,fd=0,id=s\n[a]\nimage=x\n", "[DEFAULT], object: fd= can" },
        { "[DEFAULT]\nprobe=perhaps\n[a]\nimage=x\n", "[DEFAULT], probe: it is on or off" },
        { "[a]\nimage=x\nallow=nowhere\n", "[a], allow: cannot open the allowed directory" },
        { "[a]\nimage=x\nallow-protocols=http\n", "[a], allow-protocols: 'http' is no protocol" },
        { "[a]\nimage=x\nbacking-format=vmdk\n", "[a], backing-format: 'vmdk' cannot be" },
        { "[a]\nimage=x\nobject=secret\n", "[a], object: " },
        { "[a]\nimage=x\naccess=\n", "[a], access: there is no value" },
        { "[a]\nimage=x\naccess=any;;tls\n", "[a], access: one of its values is empty" },
        { "[a]\nimage=x\naccess=somebody\n", "[a], access: there is no access rule 'somebody'" },
        { "[DEFAULT]\naccess=net=x\n[a]\nimage=x\n", "[DEFAULT], access: access rule 'net=x'" },
        { "[a]\nimage=x\nimage=y\n", "line 3: [a], image stands there twice" },
        { "[a]\nimage=x\n[b]\nimage=y\n [a]\nformat=raw\n", "line 5: [a] stands there twice" },
        { "[a]\nimage=x\n[b]\nname=a\nimage=y\n", "[b]: the export name \"a\" is that of [a]" },
        { "[DEFAULT]\nimage=x\n", "[DEFAULT]: 'image' is different for each export" },
        { "[DEFAULT]\nwhat=x\n", "[DEFAULT]: there is no key 'what'" },
        { "[a\tb]\nimage=x\n", "exports.conf: " },
        { "[a]\nimage=x\ndescription=\\q\n", "[a], description: " },
        { long_text, "the export name is 4097 bytes long" },
    };
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(mistakes); i++)
        assert_refused(fixture, mistakes[i].text, mistakes[i].why);
    g_unlink(fixture->path);
    g_assert_null(config_read(fixture->path, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_NOT_FOUND);
}

/* The files of objects and allowed directories begin at the folder of the file, wherever we are. */
static void
test_relative_names(Fixture *fixture, gconstpointer data)
{
    g_autofree char *key = g_build_filename(fixture->folder, "key", NULL);
    g_autofree char *object = g_strdup_printf("secret,id=s,file=%s", key);
    g_autofree char *other = g_build_filename(fixture->folder, "a,fd=b", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = NULL;

    g_assert_true(g_file_set_contents(key, "secret", -1, NULL));
    g_assert_true(g_file_set_contents(other, "secret", -1, NULL));
    config = read_text(
        fixture, "[a]\nimage=x\nobject=secret,id=s,file=key;secret,file=a,,fd=b,id=t\nallow=.\n",
        &error);
    g_assert_no_error(error);
    g_assert_cmpuint(config->objects->len, ==, 2);
    g_assert_cmpstr(config->objects->pdata[0], ==, object);
    g_assert_cmpuint(config->files->len, ==, 4); /* the configuration, two keys, the image */
    g_assert_cmpstr(config->files->pdata[2], ==, other);
    g_unlink(key);
    g_unlink(other);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/config/" name, Fixture, NULL, set_up, func, tear_down)
    ADD("all-keys", test_all_keys);
    ADD("defaults", test_defaults);
    ADD("names", test_names);
    ADD("settings", test_settings);
    ADD("mistakes", test_mistakes);
    ADD("relative-names", test_relative_names);
#undef ADD
    return g_test_run();
}
