/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sanitizers.h - whether this is a build for tests whose runtime needs more than the server does.
 */
#ifndef STRATA_SANITIZERS_H
#define STRATA_SANITIZERS_H

#if defined(__has_feature)
#define STRATA_HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#define STRATA_HAS_THREAD_SANITIZER  __has_feature(thread_sanitizer)
#else
#ifdef __SANITIZE_ADDRESS__
#define STRATA_HAS_ADDRESS_SANITIZER 1
#else
#define STRATA_HAS_ADDRESS_SANITIZER 0
#endif
#ifdef __SANITIZE_THREAD__
#define STRATA_HAS_THREAD_SANITIZER 1
#else
#define STRATA_HAS_THREAD_SANITIZER 0
#endif
#endif

#define STRATA_HAS_SANITIZER (STRATA_HAS_ADDRESS_SANITIZER || STRATA_HAS_THREAD_SANITIZER)

#endif
