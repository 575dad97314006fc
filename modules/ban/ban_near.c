/* Addresses that are near: those of this machine and those of members, which come and go while httpd runs.
 *
 * Each child looks them up anew every ten seconds and makes a set of them. Readers count themselves while they
 * load the present one and look into it, so who finds nobody counted, after he has put another one in its place,
 * frees the old one. Members that were named by a host's name are left out: to look up names takes too long. */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ban_private.h"

APLOG_USE_MODULE(usher_ban);

enum { OWN, MEMBERS, SETS };

typedef struct {
    usher_cidr_set_t *sets[SETS];
} near_t;

static _Atomic(near_t *) present;
static _Atomic apr_uint32_t readers;

/* Of who has set it: a child's first look may take until its tick begins. */
static atomic_flag is_making = ATOMIC_FLAG_INIT;

/* Of the one thread that makes them: an old one that may still be read; NULL: none. */
static near_t *old;

static int near_overlaps(int which, const usher_cidr_range_t *range)
{
    near_t *near;
    int yes;

    atomic_fetch_add(&readers, 1);
    near = atomic_load(&present);
    yes = near && usher_cidr_set_meets(near->sets[which], range);
    atomic_fetch_sub(&readers, 1);
    return yes;
}

int ban_near_has_own(const usher_cidr_range_t *range)
{
    return near_overlaps(OWN, range);
}

int ban_near_has_member(const usher_cidr_range_t *range)
{
    return near_overlaps(MEMBERS, range);
}

int ban_near_is_own(usher_cidr_address_t address)
{
    usher_cidr_range_t range = { address, address };

    return near_overlaps(OWN, &range);
}

int ban_near_is_member(usher_cidr_address_t address)
{
    usher_cidr_range_t range = { address, address };

    return near_overlaps(MEMBERS, &range);
}

static void near_add(apr_array_header_t *ranges, usher_cidr_address_t address)
{
    usher_cidr_range_t *range = apr_array_push(ranges);

    range->first = range->last = address;
}

static void near_add_own(apr_array_header_t *ranges)
{
    struct ifaddrs *all, *one;

    if (getifaddrs(&all)) {
        return;
    }
    for (one = all; one; one = one->ifa_next) {
        const struct sockaddr *address = one->ifa_addr;

        if (address && address->sa_family == AF_INET) {
            near_add(ranges, usher_cidr_address(&((const struct sockaddr_in *)(const void *)address)->sin_addr, 4));
        }
        else if (address && address->sa_family == AF_INET6) {
            near_add(ranges, usher_cidr_address(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16));
        }
    }
    freeifaddrs(all);
}

/* The host of a URL, if it is an address. The text is of shared memory: any bytes, that may change meanwhile. */
static void near_add_url(apr_array_header_t *ranges, const char shared[USHER_REGISTRY_URL_SIZE])
{
    char url[USHER_REGISTRY_URL_SIZE];
    const char *host;
    usher_cidr_range_t range;
    apr_size_t len;

    memcpy(url, shared, sizeof(url));
    url[sizeof(url) - 1] = '\0';
    host = strstr(url, "://");
    if (!host) {
        return;
    }
    host += 3;
    if (*host == '[') {
        len = strcspn(++host, "]");
    }
    else {
        len = strcspn(host, ":/?#");
    }
    if (!memchr(host, '/', len) && usher_cidr_parse(&range, host, len)) {
        near_add(ranges, range.first);
    }
}

static int near_see_record(void *ranges, usher_cluster_rec_t *cluster, usher_member_rec_t *member)
{
    if (member) {
        near_add_url(ranges, member->url);
    }
    return 1;
}

static int near_see_registered(void *ranges, const usher_roster_entry_t *entry)
{
    near_add_url(ranges, entry->url);
    return 1;
}

static usher_cidr_set_t *near_set(apr_array_header_t *ranges)
{
    apr_size_t count = (apr_size_t)ranges->nelts;
    usher_cidr_set_t *set = ap_malloc(usher_cidr_set_size(count));

    usher_cidr_set_make(set, (usher_cidr_range_t *)(void *)ranges->elts, count);
    return set;
}

static near_t *near_make(apr_pool_t *ptemp)
{
    apr_array_header_t *own = apr_array_make(ptemp, 16, sizeof(usher_cidr_range_t));
    apr_array_header_t *members = apr_array_make(ptemp, 64, sizeof(usher_cidr_range_t));
    near_t *near = ap_malloc(sizeof(*near));

    near_add_own(own);
    ban_core->registry_each(near_see_record, members);
    ban_core->roster_each(near_see_registered, members);
    near->sets[OWN] = near_set(own);
    near->sets[MEMBERS] = near_set(members);
    return near;
}

static int near_is_same(const near_t *a, const near_t *b)
{
    int i;

    for (i = 0; i < SETS; ++i) {
        if (a->sets[i]->count != b->sets[i]->count
            || memcmp(a->sets[i]->ranges, b->sets[i]->ranges, a->sets[i]->count * sizeof(usher_cidr_range_t)) != 0) {
            return 0;
        }
    }
    return 1;
}

static void near_free(near_t *near)
{
    if (near) {
        free(near->sets[OWN]);
        free(near->sets[MEMBERS]);
        free(near);
    }
}

/* Who reads the old one counted himself before he loaded it, and it is not the present one any more. */
static void near_free_old(void)
{
    if (old && !atomic_load(&readers)) {
        near_free(old);
        old = NULL;
    }
}

static void near_renew(apr_pool_t *ptemp)
{
    near_t *near;

    near_free_old();
    if (old) {
        return; /* the next time */
    }
    near = near_make(ptemp);
    if (atomic_load(&present) && near_is_same(near, atomic_load(&present))) {
        near_free(near);
        return;
    }
    old = atomic_exchange(&present, near);
    near_free_old();
}

static void near_refresh(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    if (!atomic_flag_test_and_set(&is_making)) {
        near_renew(ptemp);
        atomic_flag_clear(&is_making);
    }
}

static apr_status_t near_forget(void *data)
{
    near_free(atomic_exchange(&present, NULL));
    near_free(old);
    old = NULL;
    return APR_SUCCESS;
}

void ban_near_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    static const usher_tick_work_t work = { "own addresses and members", USHER_TICK_EACH, near_refresh, NULL };

    near_refresh(NULL, s, ptemp);
    ban_core->tick_add(&work);
    apr_pool_cleanup_register(pconf, NULL, near_forget, apr_pool_cleanup_null);
}

void ban_near_child_init(apr_pool_t *pchild, server_rec *s)
{
    near_refresh(NULL, s, pchild);
}
