/* mod_ushertest: uses the core as a module of the suite does, and lets a test
 * do it over HTTP. See mod_ushertest.c. */
#ifndef USHERTEST_H
#define USHERTEST_H

#include <http_protocol.h>
#include <stdatomic.h>

#include "usher_core.h"

typedef struct {
    apr_uint32_t layout;       /* UsherTestLayout */
    apr_interval_time_t tick;  /* UsherTestTick: how long the work takes; -1: off */
    int members;               /* UsherTestMembers: asked for in post_config */
    int store;                 /* UsherTestStore: cells in the store */
    const char *image;         /* UsherTestImage: a file */
} ushertest_conf_t;

/* What lies in the piece "test": counters of the tick, and a ledger of
 * accounts between which money is moved and of which none may be lost. */
typedef struct {
    _Atomic apr_int64_t value; /* what a test likes to keep here */
    _Atomic apr_uint64_t ticks;
    _Atomic apr_uint64_t parent_ticks;
    _Atomic apr_uint32_t in_tick; /* pid, while the work runs */
    _Atomic apr_uint32_t overlaps;
    _Atomic apr_uint32_t cuts; /* work whose process ended before it did */
    _Atomic apr_uint32_t readers; /* requests that read an image without a pause */
    _Atomic apr_uint32_t last_pid;
    apr_uint32_t layout; /* 1: accounts in whole coins; 2: in hundredths */
    _Atomic apr_uint64_t repairs;
    _Atomic apr_uint64_t moves;
    _Atomic apr_uint64_t longest_wait; /* for the lock, microseconds */
    /* The move under way; active is set last and cleared last. */
    _Atomic apr_uint64_t active;
    apr_uint64_t from, to;
    apr_int64_t from_was, to_was;
    volatile apr_int64_t accounts[];
} ushertest_shm_t;

extern const usher_core_t *ushertest_core;
extern usher_memory_t *ushertest_memory;

/* ushertest_ledger.c */
const usher_memory_spec_t *ushertest_ledger_spec(apr_uint32_t layout);
apr_status_t ushertest_move(int die_half_way);
void ushertest_hammer(request_rec *r, int seconds);
void ushertest_check(request_rec *r);

/* ushertest_image.c */
void ushertest_image_declare(const char *path, server_rec *s);
void ushertest_image(request_rec *r, const char *what, const char *arg);

/* ushertest_registry.c */
int ushertest_members(apr_pool_t *p, int n);
void ushertest_member(request_rec *r, ushertest_shm_t *shm, const char *route);
void ushertest_age(request_rec *r, ushertest_shm_t *shm);
typedef enum { USHERTEST_REST, USHERTEST_UP, USHERTEST_GARBLE, USHERTEST_HOSTILE,
               USHERTEST_GIVEN, USHERTEST_LOOK, USHERTEST_MISCOUNT } ushertest_health_e;
void ushertest_health(request_rec *r, const char *whom, ushertest_health_e what);

/* ushertest_store.c */
int ushertest_store_check(server_rec *s);
void ushertest_store(request_rec *r, const char *what, const char *arg);

/* ushertest_roster.c */
void ushertest_join(request_rec *r, const char *text);
void ushertest_leave(request_rec *r, const char *text);
void ushertest_churn(request_rec *r, const char *text);
void ushertest_roster_register(void);

/* ushertest_seat.c */
int ushertest_seat(request_rec *r, const char *args);

/* ushertest_tick.c */
void ushertest_tick_add(const ushertest_conf_t *conf);

#endif /* USHERTEST_H */
