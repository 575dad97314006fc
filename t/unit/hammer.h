/* How long tests hammer, and their workers, which are killed at any instruction. */
#ifndef UNIT_HAMMER_H
#define UNIT_HAMMER_H

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
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

/* A process that works until it is killed. */
static inline pid_t hammer_start(void (*work)(unsigned int seed), unsigned int seed)
{
    pid_t pid = fork();

    if (!pid) {
        alarm(120); /* should this program be killed itself */
        work(seed);
    }
    ck_assert_int_gt(pid, 0);
    return pid;
}

static inline void hammer_end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

#endif /* UNIT_HAMMER_H */
