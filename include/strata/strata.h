/* SPDX-License-Identifier: LGPL-2.1-or-later
 * strata.h - all of libstrata's public interface; libstrata(3) says in which order to read it. */
#ifndef STRATA_H
#define STRATA_H

#include <strata/bitmap.h>
#include <strata/error.h>
#include <strata/graph.h>
#include <strata/policy.h>
#include <strata/read.h>
#include <strata/resolve.h>
#include <strata/snapshot.h>
#include <strata/spec.h>

#endif
