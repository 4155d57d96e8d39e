/* SPDX-License-Identifier: LGPL-2.1-or-later
 * config.h - the configuration file of strata-nbd: strata-nbd.conf(5). */
#ifndef STRATA_CONFIG_H
#define STRATA_CONFIG_H

#include "export.h"

/* What a configuration file says. */
typedef struct {
    GPtrArray *exports; /* (element-type Export): none is open yet */
    GPtrArray *files;   /* (element-type utf8): the configuration, images, secrets: read now and
                           later; headers of images may name their neighbours */
    GPtrArray *folders; /* (element-type utf8): those that headers may name files of besides */
    GPtrArray *objects; /* (element-type utf8): as strata_policy_add_object() takes them */
} Config;

void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

/* Reads the file at @path. Opens allowed directories, reads secrets, and looks up users and groups,
 * but opens no image. Relative names begin at the folder of the file. Returns: (transfer full): all
 * of it; NULL with @error, which names file, group and key. */
Config *config_read(const char *path, GError **error);

#endif
