/**
 * @file  usher_sketch.h
 * @brief How many different numbers were seen lately: about, in a few bytes.
 *
 * HyperLogLog with 256 registers of four bits, for two halves of the time that counts: the
 * one that passes and the one before. Up to some hundred numbers it is off by a few percent, above
 * that by 6 % (one standard deviation).
 *
 * Lies in shared memory, zeros are empty; all is atomic, and any contents are taken: then the
 * number is wrong till two halves have passed.
 */
#ifndef USHER_SKETCH_H
#define USHER_SKETCH_H

#include <apr.h>
#include <stdatomic.h>

#define USHER_SKETCH_REGISTERS 256

typedef struct usher_sketch_t {
    /** Which half of the time each one belongs to, from 1. */
    _Atomic apr_uint32_t half[2];
    _Atomic unsigned char registers[2][USHER_SKETCH_REGISTERS / 2];
} usher_sketch_t;
_Static_assert(sizeof(usher_sketch_t) == 264, "part of a segment's layout");

/**
 * A number was seen. Any thread; a few instructions when it is not new.
 * @param number  evenly spread: random, or a hash
 * @param now     ms, of a clock that does not jump
 * @param window  how long numbers count, ms; at least half of it, at most all
 */
void usher_sketch_add(usher_sketch_t *sketch, apr_uint32_t number, apr_int64_t now,
                      apr_int64_t window);

/** How many there were, about. */
apr_uint64_t usher_sketch_count(const usher_sketch_t *sketch, apr_int64_t now, apr_int64_t window);

#endif /* USHER_SKETCH_H */
