/* How long tests hammer. */
#ifndef UNIT_HAMMER_H
#define UNIT_HAMMER_H

#include <stdlib.h>
#include "usher_clock.h"

/* Longer than that nobody waits for what a machine that stalls did not do. Workers' alarms
 * are later. */
#define HAMMER_SECONDS_MAX 90

typedef struct {
    apr_time_t least, most; /* of the boot clock */
} hammer_t;

/* From now on, so many seconds; the other number with USHER_LONG=1. */
static inline hammer_t hammer_begin(int seconds, int seconds_long)
{
    apr_time_t now = usher_clock_system()->boot_now();

    return (hammer_t){ now + apr_time_from_sec(getenv("USHER_LONG") ? seconds_long : seconds),
                       now + apr_time_from_sec(HAMMER_SECONDS_MAX) };
}

/* Whether to go on: all of the time, and then until enough was done. What is done in a time
 * depends on the machine: it may stall for most of it. */
static inline int hammer_on(const hammer_t *hammer, int is_enough)
{
    apr_time_t now = usher_clock_system()->boot_now();

    return now < hammer->least || (!is_enough && now < hammer->most);
}

#endif /* UNIT_HAMMER_H */
