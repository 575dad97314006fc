/* The registry: asks for members of a cluster of the test's, in any process.
 * They are such as sign themselves in: only their route counts. */
#include <apr_strings.h>

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

/* rest=cluster,server,route,url: the member begins to rest; up=...: it is up;
 * garble=...: what a mad child could write there; given=...: the record is given
 * to another member. */
void ushertest_health(request_rec *r, const char *whom, ushertest_health_e what)
{
    apr_int64_t now = usher_clock_system()->boot_now() / 1000;
    char *last, *cluster, *server, *route, *url;
    usher_member_rec_t *member;

    cluster = apr_strtok(apr_pstrdup(r->pool, whom), ",", &last);
    server = apr_strtok(NULL, ",", &last);
    route = apr_strtok(NULL, ",", &last);
    url = apr_strtok(NULL, ",", &last);
    if (!url) {
        ap_rputs("rv=1\n", r);
        return;
    }
    member = ushertest_core->registry_member(
        ushertest_core->registry_cluster(cluster, strcmp(server, "-") ? server : ""),
        strcmp(route, "-") ? route : "", url);
    if (what == USHERTEST_UP) {
        atomic_store(&member->health.state, 0);
    }
    else if (what == USHERTEST_GIVEN) {
        member->generation += 1000;
    }
    else if (what == USHERTEST_GARBLE) {
        apr_generate_random_bytes((unsigned char *)&member->health, sizeof(member->health));
        apr_generate_random_bytes((unsigned char *)&member->turn, sizeof(member->turn));
        memset(member->url, 'x', sizeof(member->url));
    }
    else {
        usher_health_failed(&member->health, now, now, &params, 1, 1);
    }
    ap_rprintf(r, "rests=%u elected=%d\n", atomic_load(&member->health.rests),
               (int)atomic_load(&member->elected));
}
