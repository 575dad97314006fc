/* The roster and the registry's holds as their users use them, over HTTP:
 *   may=CLUSTER[,ROUTE,URL]       whether it may join, and the cluster's one name
 *   how=CLUSTER,ROUTE             how a registered member does
 *   get=CLUSTER,ROUTE             what the roster has of it
 *   removed=CLUSTER,ROUTE
 *   enter=CLUSTER,ROUTE,VERSION   into the roster; exit= takes it out
 *   renew=CLUSTER,ROUTE,LOAD,CREATED
 *   changes=CLUSTER   roster      how many changes, how many members
 *   event                         reads the descriptor
 *   enterdie=CLUSTER,ROUTE,VERSION  killed while it enters one version after the other
 *   spoil=BYTES                   random ones all over the roster
 *   keep=ROUTE release= left=ROUTE  records of the registry */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "ushertest.h"
#include "usher_clock.h"
#include "usher_join.h"

#define LEASE 30000 /* ms */

typedef struct {
    const char *words[4]; /* "" where there is none */
} seat_args_t;

static apr_int64_t seat_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

static void seat_entry(usher_roster_entry_t *entry, const seat_args_t *args)
{
    memset(entry, 0, sizeof(*entry));
    apr_cpystrn(entry->cluster, args->words[0], sizeof(entry->cluster));
    apr_cpystrn(entry->route, args->words[1], sizeof(entry->route));
    entry->version = (apr_uint64_t)apr_atoi64(args->words[2]);
    apr_snprintf(entry->url, sizeof(entry->url), "http://127.0.0.1:%d", (int)entry->version + 1);
    memset(entry->labels, '0' + (int)(entry->version % 10), sizeof(entry->labels) - 1);
    entry->weight = 1;
    entry->lease = LEASE;
    entry->load = -1;
    entry->expires_at = seat_now() + LEASE;
    entry->saved_at = seat_now();
    usher_roster_id(entry->id, entry->cluster, entry->route);
}

static void seat_may(request_rec *r, const seat_args_t *args)
{
    static const char *const names[] = { "ok", "no_cluster", "ambiguous", "no_scheme",
                                         "route_taken", "own_url" };
    APR_OPTIONAL_FN_TYPE(usher_balancer_may_join) *may_join =
        APR_RETRIEVE_OPTIONAL_FN(usher_balancer_may_join);
    const char *canonical = "-";
    usher_join_e join = may_join(args->words[0], *args->words[1] ? args->words[1] : NULL,
                                 *args->words[2] ? args->words[2] : NULL, &canonical);

    ap_rprintf(r, "may=%s canonical:%s\n", names[join], canonical);
}

static void seat_how(request_rec *r, const seat_args_t *args)
{
    static const char *const checks[] = { "unknown", "up", "down" };
    APR_OPTIONAL_FN_TYPE(usher_balancer_join_state) *join_state =
        APR_RETRIEVE_OPTIONAL_FN(usher_balancer_join_state);
    usher_roster_entry_t entry, asked;
    usher_join_state_t state;

    seat_entry(&asked, args);
    if (!ushertest_core->roster_get(asked.id, &entry)) {
        entry = asked;
    }
    ap_rprintf(r, "known=%d", join_state(&entry, &state));
    ap_rprintf(r, " check=%s rests=%d in_flight=%u sessions=%u elected=%d reason: %s\n",
               checks[state.check], state.rests, state.in_flight, state.sessions,
               (int)state.elected, state.reason);
}

static int seat_is_whole(const usher_roster_entry_t *entry)
{
    char digit = (char)('0' + entry->version % 10);
    apr_size_t len = strlen(entry->labels);

    return len == sizeof(entry->labels) - 1 && entry->labels[0] == digit
           && entry->labels[len - 1] == digit
           && apr_atoi64(strrchr(entry->url, ':') + 1) == (apr_int64_t)entry->version + 1;
}

static void seat_get(request_rec *r, const seat_args_t *args)
{
    usher_roster_entry_t entry, asked;

    seat_entry(&asked, args);
    if (!ushertest_core->roster_get(asked.id, &entry)) {
        ap_rputs("none=1\n", r);
        return;
    }
    ap_rprintf(r, "none=0 version=%d generation=%u load=%d created=%u left=%d whole=%d\n",
               (int)entry.version, entry.generation, entry.load, entry.created,
               (int)(entry.expires_at - seat_now()), seat_is_whole(&entry));
}

static void seat_removed(request_rec *r, const seat_args_t *args)
{
    usher_roster_entry_t asked;

    seat_entry(&asked, args);
    ap_rprintf(r, "version=%d\n", (int)ushertest_core->roster_removed(asked.id));
}

static void seat_enter(request_rec *r, const seat_args_t *args)
{
    usher_roster_entry_t entry;
    apr_status_t rv;

    seat_entry(&entry, args);
    rv = ushertest_core->roster_set(&entry);
    ap_rprintf(r, "rv=%s\n", rv == APR_SUCCESS ? "done" : rv == APR_EEXIST ? "older"
                             : rv == APR_ENOSPC ? "full" : "off");
}

static void seat_exit(request_rec *r, const seat_args_t *args)
{
    usher_roster_entry_t entry;

    seat_entry(&entry, args);
    ap_rprintf(r, "rv=%s\n", ushertest_core->roster_remove(entry.id, entry.version) == APR_SUCCESS
                             ? "done" : "none");
}

static void seat_renew(request_rec *r, const seat_args_t *args)
{
    usher_roster_entry_t entry;

    seat_entry(&entry, args);
    ap_rprintf(r, "rv=%d\n", ushertest_core->roster_renew(entry.id,
                                                          (apr_int32_t)apr_atoi64(args->words[2]),
                                                          (apr_uint32_t)apr_atoi64(args->words[3])));
}

/* Changes without a pause, until this process is killed, at any instruction. */
static void seat_die(request_rec *r, const seat_args_t *args)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec soon = { .it_value.tv_nsec = 200000 + (long)getpid() * 7919 % 300000 };
    apr_uint64_t version = (apr_uint64_t)apr_atoi64(args->words[2]);
    usher_roster_entry_t entry;
    timer_t timer;

    seat_entry(&entry, args);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        return;
    }
    timer_settime(timer, 0, &soon, NULL);
    for (;;) {
        seat_args_t next = *args;

        next.words[2] = apr_psprintf(r->pool, "%d", (int)++version);
        seat_entry(&entry, &next);
        ushertest_core->roster_set(&entry);
    }
}

static int seat_count(void *baton, const usher_roster_entry_t *entry)
{
    ++*(int *)baton;
    return 1;
}

static void seat_changes(request_rec *r, const seat_args_t *args)
{
    int count = 0;

    ushertest_core->roster_each(seat_count, &count);
    ap_rprintf(r, "changes=%u members=%d\n",
               atomic_load(ushertest_core->roster_changes(args->words[0])), count);
}

static void seat_event(request_rec *r, const seat_args_t *args)
{
    apr_uint64_t count = 0;
    int fd = ushertest_core->roster_event();

    ap_rprintf(r, "fd=%d was=%d\n", fd,
               read(fd, &count, sizeof(count)) == sizeof(count) ? (int)count : 0);
}

/* The piece is found by the counters, which lie at its begin. */
static void seat_spoil(request_rec *r, const seat_args_t *args)
{
    const _Atomic apr_uint32_t *counter = ushertest_core->roster_changes("app");
    char *begin = (char *)((apr_uintptr_t)counter & ~(apr_uintptr_t)4095);
    apr_size_t size = (apr_size_t)apr_atoi64(args->words[0]);

    apr_generate_random_bytes((unsigned char *)begin + 4096, size);
    ap_rputs("spoilt=1\n", r);
}

static usher_member_rec_t *seat_record(const char *route)
{
    return ushertest_core->registry_member(
        ushertest_core->registry_cluster("balancer://test", ""), route, NULL);
}

/* What this process has held, as the registry's users keep theirs. */
static usher_member_rec_t *held;

static void seat_hold(request_rec *r, const seat_args_t *args)
{
    usher_member_rec_t *rec = seat_record(args->words[0]);

    held = rec;
    ap_rprintf(r, "pid=%d held=%d generation=%u\n", (int)getpid(),
               rec && ushertest_core->registry_hold(rec, rec->generation),
               rec ? rec->generation : 0);
}

static void seat_release(request_rec *r, const seat_args_t *args)
{
    ushertest_core->registry_release(held);
    ap_rputs("released=1\n", r);
}

static void seat_left(request_rec *r, const seat_args_t *args)
{
    usher_member_rec_t *rec = seat_record(args->words[0]);

    ushertest_core->registry_leave(rec);
    ap_rputs("left=1\n", r);
}

static const struct {
    const char *name;
    void (*answer)(request_rec *r, const seat_args_t *args);
} answers[] = {
    { "may", seat_may }, { "how", seat_how }, { "get", seat_get }, { "removed", seat_removed },
    { "enter", seat_enter }, { "exit", seat_exit }, { "renew", seat_renew },
    { "enterdie", seat_die }, { "changes", seat_changes }, { "event", seat_event },
    { "spoil", seat_spoil }, { "keep", seat_hold }, { "release", seat_release },
    { "left", seat_left },
};

int ushertest_seat(request_rec *r, const char *text)
{
    char *name, *last, *line = apr_pstrdup(r->pool, text);
    seat_args_t args = { { "", "", "", "" } };
    apr_size_t i;

    name = apr_strtok(line, "=", &last);
    for (i = 0; i < 4; ++i) {
        const char *word = apr_strtok(NULL, i ? "," : "=,", &last);

        args.words[i] = word ? word : "";
    }
    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); ++i) {
        if (name && !strcmp(name, answers[i].name)) {
            answers[i].answer(r, &args);
            return 1;
        }
    }
    return 0;
}
