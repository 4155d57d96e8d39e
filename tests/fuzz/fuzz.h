/* SPDX-License-Identifier: LGPL-2.1-or-later
 * fuzz.h - what a fuzz target is: one untrusted entrance, and good inputs to start from.
 *
 * The entrance has libFuzzer's name, so that the same file can be linked with -fsanitize=fuzzer;
 * linked with seeds.c instead, it is a test that runs the seeds and mutations of them. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <glib.h>

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/* Returns the good input of that number, or NULL when there are no more. */
GByteArray *fuzz_make_seed(guint number);

#endif
