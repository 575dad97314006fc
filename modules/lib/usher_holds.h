/**
 * @file  usher_holds.h
 * @brief Which processes hold which places of a table, so that no place is given away while
 *        somebody holds it.
 *
 * Each process has a row of bits, one for each place, in shared memory: what a process that
 * was killed held is free as soon as its end is known. Zeros are fresh; whatever stands
 * there is understood.
 *
 * Who holds sets his bit, and then looks whether the place is still what he wants. Who gives
 * places away says first that it is nobody's, and then looks at the bits. Of two who do that
 * at the same time, one at least sees the other.
 */
#ifndef USHER_HOLDS_H
#define USHER_HOLDS_H

#include <apr.h>
#include <stdatomic.h>
#include <unistd.h>

/** Where a process finds it all. Set by usher_holds_open(). */
typedef struct usher_holds_t {
    _Atomic apr_uint64_t *owners; /**< of the rows: pid and how far it is; 0: nobody's */
    _Atomic apr_uint64_t *words;  /**< row after row */
    _Atomic apr_uint64_t *own;    /**< this process's row; NULL: it has none */
    apr_uint32_t rows;
    apr_uint32_t places;
} usher_holds_t;

/** Bytes for so many rows and at least so many places. */
apr_uint64_t usher_holds_size(apr_uint32_t rows, apr_uint32_t places);

/**
 * @param base  aligned to 64
 * @param rows  as many processes may be there at a time: the same in all of them
 */
void usher_holds_open(usher_holds_t *holds, void *base, apr_uint64_t size, apr_uint32_t rows);

/**
 * Take a row for this process, before its threads begin.
 * @return 0: all are taken. It then can hold nothing
 */
int usher_holds_join(usher_holds_t *holds, pid_t pid);

/** A process has ended: it holds nothing any more. */
void usher_holds_left(const usher_holds_t *holds, pid_t pid);

/** The same for all for whose pid this says so. */
void usher_holds_left_all(const usher_holds_t *holds, int (*is_gone)(pid_t pid));

/**
 * Hold a place in this process's row.
 * @return 0: it has no row, or there is no such place
 */
int usher_holds_take(const usher_holds_t *holds, apr_uint32_t place);

/** Hold it no more. */
void usher_holds_give(const usher_holds_t *holds, apr_uint32_t place);

/** Whether any process holds a place. */
int usher_holds_has(const usher_holds_t *holds, apr_uint32_t place);

#endif /* USHER_HOLDS_H */
