/**
 * @file  usher_stick.h
 * @brief What the stick table did for a cluster, in its record (usher_registry.h).
 */
#ifndef USHER_STICK_H
#define USHER_STICK_H

#include <apr.h>
#include <stdatomic.h>

/** Counts; they only grow. */
typedef struct usher_stick_t {
    _Atomic apr_uint64_t found;   /**< requests whose member stood in the table */
    _Atomic apr_uint64_t missed;  /**< requests with a value that did not stand there */
    _Atomic apr_uint64_t learned; /**< new entries */
    _Atomic apr_uint64_t moved;   /**< entries that got another member */
    _Atomic apr_uint64_t removed; /**< entries whose cookie was cleared */
    _Atomic apr_uint64_t evicted; /**< entries, of any cluster, that had to go for new ones */
    apr_uint64_t spare[2];
} usher_stick_t;
_Static_assert(sizeof(usher_stick_t) == 64, "part of a segment's layout");

#endif /* USHER_STICK_H */
