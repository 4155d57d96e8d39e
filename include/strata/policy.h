/* SPDX-License-Identifier: LGPL-2.1-or-later
 * policy.h - how a graph may be opened: what image headers may lead to, which secrets it may use,
 * and whether it shares its files with writers. */
#ifndef STRATA_POLICY_H
#define STRATA_POLICY_H

#include <glib.h>

G_BEGIN_DECLS

/**
 * StrataPolicy:
 * What an image may reach by the names in its header, and what the user lends to the opening of a
 * graph. Images are untrusted, so the default is narrow: regular files and block devices beneath
 * the directory of the topmost image, no protocol, no guessing of a backing file's format, no
 * secrets, and no file that somebody writes to. Names that the user writes in a spec are not
 * confined.
 *
 * Filled in before strata_graph_open() and not changed afterwards; then it may be shared between
 * threads.
 */
typedef struct _StrataPolicy StrataPolicy;

/**
 * strata_policy_new:
 * Returns: (transfer full): the default policy
 */
StrataPolicy *strata_policy_new(void);

/**
 * strata_policy_copy:
 * @policy: a policy
 *
 * What was opened and read for @policy (directories, secrets) is not opened or read again.
 *
 * Returns: (transfer full): a policy that says the same, and can be added to
 */
StrataPolicy *strata_policy_copy(const StrataPolicy *policy);

/**
 * strata_policy_allow_dir:
 * @policy: a policy
 * @dir: a directory; names from headers may also lead beneath it
 * @error: %STRATA_ERROR_NOT_FOUND or %STRATA_ERROR_IO if @dir cannot be opened as a directory
 *
 * Returns: whether @dir was added
 */
gboolean strata_policy_allow_dir(StrataPolicy *policy, const char *dir, GError **error);

/**
 * strata_policy_set_backing_format:
 * @policy: a policy
 * @format: (nullable): the driver for backing files whose overlay's header names no format;
 *   %NULL (the default) makes such an overlay an error
 * @error: %STRATA_ERROR_SPEC if @format is not the name of a format driver
 *
 * Returns: whether @format was taken
 */
gboolean strata_policy_set_backing_format(StrataPolicy *policy, const char *format, GError **error);

/**
 * strata_policy_allow_protocols:
 * @policy: a policy
 * @protocols: what headers may name besides files, divided by commas; there is "nbd"
 * @error: %STRATA_ERROR_SPEC for a protocol that strata does not speak
 *
 * May be called again; what was allowed stays so.
 *
 * Returns: whether all were taken
 */
gboolean strata_policy_allow_protocols(StrataPolicy *policy, const char *protocols, GError **error);

/**
 * strata_policy_set_probe:
 * @policy: a policy
 * @probe: whether the format of a backing file that no header tells is recognised by its first
 *   bytes, as that of the topmost image is. A guest that owns a raw disk can write these bytes, and
 *   so make it lead to any file that policy lets headers reach: only for images that are trusted.
 *
 * strata_policy_set_backing_format() goes before it.
 */
void strata_policy_set_probe(StrataPolicy *policy, gboolean probe);

/**
 * strata_policy_set_force_share:
 * @policy: a policy
 * @force_share: whether to open files that somebody writes to, and to let others write to those
 *   that are open here. What is read may then be of two times at once.
 */
void strata_policy_set_force_share(StrataPolicy *policy, gboolean force_share);

/**
 * strata_policy_set_confined:
 * @policy: a policy
 * @confined: whether every file of a graph lies beneath the directories of
 *   strata_policy_allow_dir(), those that the spec names as well as those that headers name. For a
 *   spec whose file names come from somebody who is not trusted to name any file of this machine.
 */
void strata_policy_set_confined(StrataPolicy *policy, gboolean confined);

/**
 * strata_load_libraries:
 * @error: UNSUPPORTED: one of them is not there
 *
 * Loads the libraries that strata otherwise loads when the first image needs them: for JSON, for
 * encryption, and for layers that are NBD servers. For a program that opens images after it has
 * given up the right to open other files. Any thread.
 *
 * Returns: FALSE on error
 */
gboolean strata_load_libraries(GError **error);

/**
 * strata_policy_set_metadata_cache:
 * @policy: a policy
 * @bytes: of memory for the tables of a graph's images, from 1 MiB to 64 GiB; 32 MiB is the
 *   default. What is in use at one time may exceed it.
 * @error: %STRATA_ERROR_SPEC if @bytes is less or more than that
 *
 * Tables that do not fit are read again when they are needed again. All those of a qcow2 image have
 * 8 bytes for each cluster (16 in an image with extended L2 entries): 128 MiB for 1 TiB in clusters
 * of 64 KiB. Graphs that are opened from one graph, at snapshots, have caches of their own.
 *
 * Returns: whether @bytes was taken
 */
gboolean strata_policy_set_metadata_cache(StrataPolicy *policy, guint64 bytes, GError **error);

/**
 * strata_policy_add_object:
 * @policy: a policy
 * @text: in the words of QEMU's "--object": "secret,id=ID,file=PATH[,format=raw|base64]" or
 *   "secret,id=ID,fd=NUMBER" for a key; "tls-creds-x509,id=ID,dir=DIR[,verify-peer=on|off]" or
 *   "tls-creds-psk,id=ID,dir=DIR[,username=NAME]" for a client's credentials (",," is a comma)
 * @error: %STRATA_ERROR_SPEC for words that are not these or an ID that stands already,
 *   %STRATA_ERROR_NOT_FOUND or %STRATA_ERROR_IO for a file that cannot be read
 *
 * Lends what specs name by its ID ("encrypt.key-secret", "key-secret", "tls-creds"). A secret is
 * read at once, and wiped when the policy and its copies are freed; the descriptor of "fd" is then
 * closed, unless it is one of the standard ones. The key itself on the command line ("data=...") is
 * refused, because every user of the machine could see it.
 *
 * Returns: whether it was added
 */
gboolean strata_policy_add_object(StrataPolicy *policy, const char *text, GError **error);

/**
 * strata_policy_knows:
 * @word: a word
 *
 * Returns: whether strata_policy_apply() takes @word: "allow", "allow-protocols", "backing-format",
 *   "force-share", "metadata-cache", "object" or "probe"
 */
gboolean strata_policy_knows(const char *word);

/**
 * strata_policy_apply:
 * @policy: a policy
 * @word: the name of an option, as strata_policy_knows() tells them
 * @value: what was given with it; "on" or "off" for "force-share" and "probe", a size as in
 *   "64M" for "metadata-cache"
 * @error: that of the function that the option stands for; %STRATA_ERROR_SPEC for an unknown @word
 *
 * One way to fill in a policy for all command lines and files in which options are words.
 *
 * Returns: whether @value was taken
 */
gboolean strata_policy_apply(StrataPolicy *policy, const char *word, const char *value,
                             GError **error);

/**
 * strata_policy_apply_all:
 * @policy: a policy
 * @word: the name of an option
 * @values: (nullable) (array zero-terminated=1): what was given with it each time; %NULL: never
 * @error: as strata_policy_apply()
 *
 * Returns: whether all @values were taken
 */
gboolean strata_policy_apply_all(StrataPolicy *policy, const char *word, char **values,
                                 GError **error);

/** strata_policy_ref: Thread-safe. Returns: (transfer full): @policy */
StrataPolicy *strata_policy_ref(StrataPolicy *policy);

/** strata_policy_unref: Gives up one reference; the last frees the policy. Thread-safe. */
void strata_policy_unref(StrataPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StrataPolicy, strata_policy_unref)

G_END_DECLS

#endif
