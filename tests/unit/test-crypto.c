/* SPDX-License-Identifier: LGPL-2.1-or-later
 * test-crypto.c - ciphers, IV generators and the anti-forensic splitter against known answers.
 *
 * The first vector is that of IEEE P1619 (XTS-AES-128, vector 4). The others were computed by
 * Python's cryptography and hashlib modules, by the LUKS specification and not by this code. */
#include <string.h>

#include "crypto/af-splitter.h"
#include "crypto/sector-cipher.h"
#include "error.h"
#include "late-gnutls.h"
#include "mem-node.h"

#define SECTOR 512

static void
assert_sha256(const guint8 *bytes, gsize length, const char *expected)
{
    g_autofree char *actual = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, length);

    g_assert_cmpstr(actual, ==, expected);
}

static SectorCipher *
new_cipher(const char *mode, guint key_bytes, const guint8 *key)
{
    CipherSuite suite;
    SectorCipher *cipher;
    int status;

    g_assert_true(suite_find("aes", mode, key_bytes, &suite));
    cipher = sector_cipher_new(&suite, key, &status);
    g_assert_cmpint(status, ==, 0);
    return cipher;
}

static void
test_ieee_vector(void)
{
    static const guint8 key[32] = {
        0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60,
        0x28, 0x74, 0x71, 0x35, 0x26, 0x31, 0x41, 0x59, 0x26, 0x53, 0x58,
        0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
    };
    static const guint8 first_block[16] = {
        0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76,
        0x48, 0x9f, 0x30, 0x8c, 0xd4, 0xcf, 0xa6, 0xe2,
    };
    g_autoptr(SectorCipher) cipher = new_cipher("xts-plain64", sizeof key, key);
    guint8 sector[SECTOR] = { 0 };

    memcpy(sector, first_block, sizeof first_block);
    g_assert_cmpint(sector_cipher_decrypt(cipher, 0, sector, sizeof sector), ==, 0);
    for (guint i = 0; i < sizeof first_block; i++)
        g_assert_cmpuint(sector[i], ==, i);
}

typedef struct {
    const char *mode;
    guint key_bytes;
    const char *sha256; /* of the two sectors below, decrypted */
} Answer;

static const Answer answers[] = {
    { "xts-plain64", 32, "01ebcd82bcc9c6ee765883663ab1e19015dbec9d25770640f3ec0938e87f1e97" },
    { "xts-plain64", 64, "2f1f0c7caf6a451273a376d713e7c893283c83cda770b3499a789acc9028d617" },
    { "xts-essiv:sha256", 64, "27ce1c076945f63bd94e168f0deb15cfe5936f2125d2e64c7382c6d5b30bddfc" },
    { "cbc-plain", 16, "7ad0df8b39fa6572e1f5199403d5a35a5a704a0eba7e1caaa192ebdf0d39014b" },
    { "cbc-plain64", 16, "a34a1166ec07e5dd8578dfcec0ce2ba21befc546cc9c72f6e0c84797b0013a07" },
    { "cbc-plain64:sha1", 24, "bf720a0fc93df84664134fc958395e543169b49fb86880f386b9dbecb3061bab" },
    { "cbc-essiv:sha256", 32, "08fadb106cb3953527fd351cd4766021b844e9ead60cc0b61c925dfd5b7418cb" },
    { "cbc-essiv:md5", 32, "07de10aa22c389c48ca0e1e658dd47143f3a9d2c358eeb7118b7cca1af9d905c" },
};

/* Sector numbers of more than 32 bits, so that plain and plain64 differ. */
#define FIRST_SECTOR G_GUINT64_CONSTANT(0x1fffffffe)

static void
fill_key_and_data(guint8 key[SUITE_MAX_KEY], guint8 data[2 * SECTOR])
{
    for (guint i = 0; i < SUITE_MAX_KEY; i++)
        key[i] = i * 13 + 5;
    for (guint i = 0; i < 2 * SECTOR; i++)
        data[i] = i * 7 + 3;
}

static void
test_answer(gconstpointer data)
{
    const Answer *answer = data;
    guint8 key[SUITE_MAX_KEY], bytes[2 * SECTOR];
    g_autoptr(SectorCipher) cipher = NULL;

    fill_key_and_data(key, bytes);
    cipher = new_cipher(answer->mode, answer->key_bytes, key);
    g_assert_cmpint(sector_cipher_decrypt(cipher, FIRST_SECTOR, bytes, sizeof bytes), ==, 0);
    assert_sha256(bytes, sizeof bytes, answer->sha256);
}

/* Every beginning and length over three sectors, the storage two sectors off the numbering. */
static void
test_parts_of_sectors(void)
{
    static guint8 stored[5 * SECTOR], whole[5 * SECTOR], part[3 * SECTOR];
    guint8 key[SUITE_MAX_KEY], ignored[2 * SECTOR];
    g_autoptr(SectorCipher) cipher = NULL;
    StrataNode *leaf;
    g_autoptr(StrataGraph) graph = NULL;
    g_autoptr(GError) error = NULL;

    fill_key_and_data(key, ignored);
    cipher = new_cipher("xts-plain64", 64, key);
    for (gsize i = 0; i < sizeof stored; i++)
        whole[i] = stored[i] = i * 31 + i / SECTOR;
    g_assert_cmpint(sector_cipher_decrypt(cipher, 7, whole + 2 * SECTOR, 3 * SECTOR), ==, 0);
    leaf = mem_leaf_new("leaf", stored, sizeof stored);
    graph = mem_graph_new(leaf);
    for (gsize begin = 0; begin < 3 * SECTOR; begin += 61) {
        for (gsize end = begin + 1; end <= 3 * SECTOR; end += 59) {
            const CipherText from = { leaf, 2 * SECTOR + begin, 7 * SECTOR + begin };

            memset(part, 0xee, sizeof part);
            g_assert_true(sector_cipher_read(cipher, leaf, &from, end - begin, part, &error));
            g_assert_cmpmem(part, end - begin, whole + 2 * SECTOR + begin, end - begin);
            for (gsize i = end - begin; i < sizeof part; i++)
                g_assert_cmpuint(part[i], ==, 0xee);
        }
    }
}

/* The rest of a sector that the storage has no room for cannot be decrypted. */
static void
test_cut_off_sector(void)
{
    guint8 stored[SECTOR + 100] = { 0 }, key[SUITE_MAX_KEY], data[2 * SECTOR], byte;
    g_autoptr(SectorCipher) cipher = NULL;
    StrataNode *leaf = mem_leaf_new("leaf", stored, sizeof stored);
    g_autoptr(StrataGraph) graph = mem_graph_new(leaf);
    const CipherText from = { leaf, SECTOR, SECTOR };
    g_autoptr(GError) error = NULL;

    fill_key_and_data(key, data);
    cipher = new_cipher("cbc-plain64", 16, key);
    g_assert_false(sector_cipher_read(cipher, leaf, &from, 1, &byte, &error));
    g_assert_error(error, STRATA_ERROR, STRATA_ERROR_DAMAGED);
}

static void
test_unknown_suites(void)
{
    static const struct {
        const char *cipher, *mode;
        guint key_bytes;
    } unknown[] = {
        { "twofish", "xts-plain64", 64 },
        { "serpent", "cbc-plain64", 32 },
        { "cast5", "cbc-plain64", 16 },
        { "aes", "xts-plain64", 48 },
        { "aes", "ctr-plain64", 32 },
        { "aes", "ecb-plain64", 32 },
        { "aes", "xts", 64 },
        { "aes", "xts-", 64 },
        { "aes", "-plain64", 64 },
        { "aes", "xts-benbi", 64 },
        { "aes", "xts-essiv", 64 },
        { "aes", "xts-essiv:", 64 },
        { "aes", "cbc-essiv:sha1", 32 },
        { "aes", "cbc-essiv:whirlpool", 32 },
        { "aes", "cbc-plain64", 0 },
        { "aes", "xts-plain64", G_MAXUINT32 },
        { "AES", "xts-plain64", 64 },
        { "", "", 0 },
    };
    gnutls_digest_algorithm_t digest;

    for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++) {
        CipherSuite suite;

        g_test_message("%s-%s %u", unknown[i].cipher, unknown[i].mode, unknown[i].key_bytes);
        g_assert_false(
            suite_find(unknown[i].cipher, unknown[i].mode, unknown[i].key_bytes, &suite));
    }
    g_assert_false(suite_find_digest("ripemd160", &digest));
    g_assert_false(suite_find_digest("", &digest));
}

typedef struct {
    const char *label;
    gnutls_digest_algorithm_t digest;
    guint key_bytes;
    const char *sha256; /* of the key */
} Merge;

/* A key that is no multiple of the digest, one that is, and one that is shorter. */
static const Merge merges[] = {
    { "sha1", GNUTLS_DIG_SHA1, 32,
      "bb6b6a3af6792af7ddba51985a7996404242c69c06a2e5b45f3bcfcdde661aba" },
    { "sha256", GNUTLS_DIG_SHA256, 64,
      "24b9d168bbf59ed14c67b504b78cee2fb5b2c9cf38f2e778ab10ac29e76c66d1" },
    { "sha512", GNUTLS_DIG_SHA512, 16,
      "d21bca724bb64eec1d3db9f236abbd62569b64513e64792a561dfc27a806031a" },
};

static void
test_merge(gconstpointer data)
{
    const Merge *merge = data;
    guint8 split[4 * SUITE_MAX_KEY];
    g_auto(Key) key = { 0 };

    for (gsize i = 0; i < sizeof split; i++)
        split[i] = i * 11 + 1;
    g_assert_cmpint(af_merge(merge->digest, split, merge->key_bytes, 4, &key), ==, 0);
    assert_sha256(key.bytes, merge->key_bytes, merge->sha256);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(late_gnutls_load(NULL));
    g_test_add_func("/crypto/ieee-vector", test_ieee_vector);
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autofree char *path =
            g_strdup_printf("/crypto/known-answer/%s-%u", answers[i].mode, answers[i].key_bytes);

        g_test_add_data_func(path, &answers[i], test_answer);
    }
    g_test_add_func("/crypto/parts-of-sectors", test_parts_of_sectors);
    g_test_add_func("/crypto/cut-off-sector", test_cut_off_sector);
    g_test_add_func("/crypto/unknown-suites", test_unknown_suites);
    for (gsize i = 0; i < G_N_ELEMENTS(merges); i++) {
        g_autofree char *path = g_strdup_printf("/crypto/merge/%s", merges[i].label);

        g_test_add_data_func(path, &merges[i], test_merge);
    }
    return g_test_run();
}
