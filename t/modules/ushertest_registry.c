/* The registry: asks for members of a cluster of the test's, in any process.
 * They are such as sign themselves in: only their route counts. */
#include <apr_strings.h>
#include <stddef.h>

#include "ushertest.h"
#include "usher_clock.h"

static usher_member_rec_t *member_of(const char *route)
{
    usher_cluster_rec_t *cluster = ushertest_core->registry_cluster("balancer://test", "");

    return ushertest_core->registry_member(cluster, route, NULL);
}

/* How many of m1 to mN there is a record for. */
int ushertest_members(apr_pool_t *p, int n)
{
    int i, given = 0;

    for (i = 1; i <= n; ++i) {
        given += member_of(apr_psprintf(p, "m%d", i)) != NULL;
    }
    return given;
}

/* Counts on, and keeps in the ledger where it lies. */
void ushertest_member(request_rec *r, ushertest_shm_t *shm, const char *route)
{
    usher_member_rec_t *member = member_of(route);

    if (!member) {
        ap_rputs("none=1\n", r);
        return;
    }
    atomic_store(&shm->value, (apr_int64_t)(apr_uintptr_t)member);
    atomic_fetch_add(&member->elected, 1);
    ap_rprintf(r, "none=0 generation=%u elected=%d route=%.63s\n", member->generation,
               (int)atomic_load(&member->elected), member->route);
}

/* The member asked for last, by whichever child, was left a while ago. Asking
 * for it would make it one that is in use. */
void ushertest_age(request_rec *r, ushertest_shm_t *shm)
{
    usher_member_rec_t *member = (usher_member_rec_t *)(apr_uintptr_t)atomic_load(&shm->value);
    apr_int64_t left_at = atomic_load(&member->left_at);

    if (left_at > 1) {
        atomic_store(&member->left_at, left_at > 660000 ? left_at - 660000 : 1);
    }
    ap_rprintf(r, "left=%d\n", left_at != 0);
}

static const usher_health_params_t params = {
    .failures = 1, .within = 10000, .rest = 600000, .slowstart = 0, .share = 100,
};

/* All but what the record is found by. */
static void hostile(usher_member_rec_t *member)
{
    static const char text[] = "<script>\x1b[2J\r\n\"\\";
    apr_size_t from = offsetof(usher_member_rec_t, health);

    apr_generate_random_bytes((unsigned char *)member + from, sizeof(*member) - from);
    memset(member->url, 'x', sizeof(member->url));
    memcpy(member->url, text, sizeof(text) - 1);
    memset(member->route, 0xff, sizeof(member->route));
}

/* What became of the cluster's cookies, and how many sessions the member has. */
static void show_sticky(request_rec *r, const usher_cluster_rec_t *cluster,
                        const usher_member_rec_t *member, apr_int64_t now)
{
    static const char *const names[USHER_STICKY_COUNTS] = {
        "valid", "malformed", "unknown_key", "forged", "expired", "early", "new", "refreshed",
        "moved", "down"
    };
    int i;

    for (i = 0; i < USHER_STICKY_COUNTS; ++i) {
        ap_rprintf(r, "%s=%d ", names[i], (int)atomic_load(&cluster->sticky.counts[i]));
    }
    ap_rprintf(r, "sessions=%d\n", (int)usher_sketch_count(&member->sessions, now,
                                                            atomic_load(&cluster->sticky.window)));
}

/* rest=cluster,server,route,url: the member begins to rest; up=...: it is up;
 * garble=...: what a mad child could write there; hostile=...: the same in all of it; given=...:
 * the record is given to another member; look=...: nothing; miscount=...: its counts are wild. */
void ushertest_health(request_rec *r, const char *whom, ushertest_health_e what)
{
    apr_int64_t now = usher_clock_system()->boot_now() / 1000;
    char *last, *cluster, *server, *route, *url;
    usher_cluster_rec_t *of;
    usher_member_rec_t *member;

    cluster = apr_strtok(apr_pstrdup(r->pool, whom), ",", &last);
    server = apr_strtok(NULL, ",", &last);
    route = apr_strtok(NULL, ",", &last);
    url = apr_strtok(NULL, ",", &last);
    if (!url) {
        ap_rputs("rv=1\n", r);
        return;
    }
    of = ushertest_core->registry_cluster(cluster, strcmp(server, "-") ? server : "");
    member = ushertest_core->registry_member(
        of, strcmp(route, "-") ? route : "", url);
    if (what == USHERTEST_UP) {
        atomic_store(&member->health.state, 0);
    }
    else if (what == USHERTEST_GIVEN) {
        member->generation += 1000;
    }
    else if (what == USHERTEST_MISCOUNT) {
        atomic_store(&member->in_flight, 4000000000u);
        atomic_store(&member->waiting, 4000000000u);
    }
    else if (what == USHERTEST_GARBLE) {
        apr_generate_random_bytes((unsigned char *)&member->health, sizeof(member->health));
        apr_generate_random_bytes((unsigned char *)&member->debt, sizeof(member->debt));
        apr_generate_random_bytes((unsigned char *)&member->response, sizeof(member->response));
        memset(member->url, 'x', sizeof(member->url));
    }
    else if (what == USHERTEST_HOSTILE) {
        hostile(member);
    }
    else if (what == USHERTEST_REST) {
        usher_health_failed(&member->health, now, now, &params, 1, 1);
    }
    ap_rprintf(r, "rests=%u elected=%d in_flight=%u waiting=%u "
               "cluster_in_flight=%u cluster_waiting=%u\n", atomic_load(&member->health.rests),
               (int)atomic_load(&member->elected), atomic_load(&member->in_flight),
               atomic_load(&member->waiting), atomic_load(&of->in_flight), atomic_load(&of->waiting));
    show_sticky(r, of, member, now);
}
