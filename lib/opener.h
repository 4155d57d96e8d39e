/* SPDX-License-Identifier: LGPL-2.1-or-later
 * opener.h - what a driver's open() has at hand besides its node: the gate through which every host
 * file is opened, and the notes of which children its header names. */
#ifndef STRATA_OPENER_H
#define STRATA_OPENER_H

#include "driver.h"
#include "kept.h"
#include "policy.h"

typedef struct {
    char *name;   /* NULL: the header names no child in this role */
    char *format; /* nullable */
} NamedChild;

struct _StrataOpener {
    PolicyGate *gate;  /* not owned */
    StrataNode *again; /* (nullable) not owned: the open node that is opened a second time, and
                          whose file is the one to read, wherever its name leads by now */
    KeptBudget *kept;  /* (nullable) not owned: the graph's */
    NamedChild named[STRATA_N_ROLES];
};

#endif
