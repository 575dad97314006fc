/**
 * @file  usher_futex.h
 * @brief Waiting for a word of shared memory to change.
 *
 * Who waits must look again by himself now and then: who should wake him may have been killed.
 * Elsewhere than on Linux that is all there is.
 */
#ifndef USHER_FUTEX_H
#define USHER_FUTEX_H

#include <apr_time.h>
#include <limits.h>
#include <stdatomic.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

/** Wait until somebody wakes, the word is not @a seen any more, or the time is over. */
static inline void usher_futex_wait(_Atomic apr_uint32_t *word, apr_uint32_t seen,
                                    apr_interval_time_t time)
{
#ifdef __linux__
    struct timespec limit = { (time_t)(time / APR_USEC_PER_SEC),
                              (long)(time % APR_USEC_PER_SEC) * 1000 };

    syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
#else
    apr_sleep(time < 5000 ? time : 5000);
#endif
}

/** Change the word, and wake all who wait. */
static inline void usher_futex_ring(_Atomic apr_uint32_t *word)
{
    atomic_fetch_add(word, 1);
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
#endif
}

#endif /* USHER_FUTEX_H */
