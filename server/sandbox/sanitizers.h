/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sanitizers.h - whether this is a build for tests whose runtime needs more than the server does.
 */
#ifndef STRATA_SANITIZERS_H
#define STRATA_SANITIZERS_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STRATA_HAS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRATA_HAS_SANITIZER 1
#endif

#ifndef STRATA_HAS_SANITIZER
#define STRATA_HAS_SANITIZER 0
#endif

#endif
