/* SPDX-License-Identifier: LGPL-2.1-or-later
 * seeds.c - runs a fuzz target over its seeds, and over mutations of them that are always the same.
 *
 * fuzz-X [--rounds=N] [--seed=N] [FILE...]: with files, these are the seeds, and each is run once
 * as it is before anything is changed in it (to run again what a fuzzer has found). */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static gint rounds = 1000;
static gint seed = 1;

/* Numbers at the borders are what code trips over; the rest is left to chance. */
static guint64
choose_value(GRand *random)
{
    static const guint64 borders[] = { 0,          1,           7,          8,
                                       511,        512,         0xffff,     0x10000,
                                       G_MAXINT32, G_MAXUINT32, G_MAXINT64, G_MAXUINT64 };
    guint64 any = (guint64)g_rand_int(random) << 32 | g_rand_int(random);

    if (g_rand_boolean(random))
        return borders[g_rand_int_range(random, 0, G_N_ELEMENTS(borders))];
    return any >> g_rand_int_range(random, 0, 64);
}

/* Most of what a format means stands at its beginning, so half of the changes go there. */
static void
mutate_once(GByteArray *input, GRand *random)
{
    guint reach = g_rand_boolean(random) ? MIN(input->len, 256) : input->len;
    guint64 value = GUINT64_TO_BE(choose_value(random));
    guint width = 1u << g_rand_int_range(random, 0, 4);
    guint at;

    if (input->len < 16)
        return;
    at = g_rand_int_range(random, 0, reach - 8);
    switch (g_rand_int_range(random, 0, 4)) {
    case 0:
        input->data[at] ^= 1u << g_rand_int_range(random, 0, 8);
        break;
    case 1:
        g_byte_array_set_size(input, at + 1 + g_rand_int_range(random, 0, input->len - at));
        break;
    default: /* a whole big-endian number, where one may stand */
        at -= at % width;
        memcpy(input->data + at, (guint8 *)&value + 8 - width, width);
        break;
    }
}

static void
run_mutations(const GByteArray *original, GRand *random)
{
    for (gint i = 0; i < rounds; i++) {
        g_autoptr(GByteArray) input = g_byte_array_new();

        g_byte_array_append(input, original->data, original->len);
        for (gint n = g_rand_int_range(random, 1, 6); n > 0; n--)
            mutate_once(input, random);
        LLVMFuzzerTestOneInput(input->data, input->len);
    }
}

static void
run_seed(const GByteArray *original, GRand *random)
{
    LLVMFuzzerTestOneInput(original->data, original->len);
    run_mutations(original, random);
}

static gboolean
run_file(const char *path, GRand *random, GError **error)
{
    g_autoptr(GByteArray) original = NULL;
    char *content;
    gsize length;

    if (!g_file_get_contents(path, &content, &length, error))
        return FALSE;
    original = g_byte_array_new_take((guint8 *)content, length);
    run_seed(original, random);
    return TRUE;
}

static void
run_own_seeds(GRand *random)
{
    for (guint number = 0;; number++) {
        g_autoptr(GByteArray) original = fuzz_make_seed(number);

        if (original == NULL)
            return;
        run_seed(original, random);
    }
}

int
main(int argc, char **argv)
{
    const GOptionEntry entries[] = {
        { "rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "Mutations of each seed", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "Of the random numbers", "N" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("[FILE...]");
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) random = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    random = g_rand_new_with_seed(seed);
    for (int i = 1; i < argc; i++) {
        if (!run_file(argv[i], random, &error)) {
            fprintf(stderr, "%s\n", error->message);
            return 1;
        }
    }
    if (argc == 1)
        run_own_seeds(random);
    return 0;
}
