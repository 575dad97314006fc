/* Members that signed themselves in: shown where static ones are. What the roster says of them
 * was read from shared memory that any child can write to. */
#include "status_private.h"

/* What is shown as a number of seconds: more is garbage. */
#define SECONDS_MAX (APR_INT64_C(100) * 366 * 24 * 3600)

/* Of one name there may be several clusters: the same virtual host at two ports. */
static int roster_see(void *baton, const usher_roster_entry_t *entry)
{
    status_view_t *view = baton;
    int i;

    for (i = 0; i < view->clusters->nelts; ++i) {
        status_cluster_t *cluster = APR_ARRAY_IDX(view->clusters, i, status_cluster_t *);
        usher_member_rec_t *rec;
        status_member_t *member;

        if (!cluster->may_switch || !status_find_is_name(cluster, entry->cluster)) {
            continue;
        }
        /* The record that the balancer's children have, or will. */
        rec = status_core->registry_member(cluster->rec, entry->route, NULL);
        if (rec) {
            member = status_view_add(view, cluster, rec);
            member->entry = apr_pmemdup(view->pool, entry, sizeof(*entry));
            member->url = status_view_text(view->pool, entry->url, sizeof(entry->url));
            member->route = status_view_text(view->pool, entry->route, sizeof(entry->route));
        }
    }
    return 1;
}

void status_roster_view(status_view_t *view)
{
    if (status_core) {
        status_core->roster_each(roster_see, view);
    }
}

apr_uint32_t status_roster_weight(const status_member_t *member)
{
    return member->entry->weight < USHER_ADMIN_WEIGHT_MAX ? member->entry->weight
                                                          : USHER_ADMIN_WEIGHT_MAX;
}

/* Seconds from now until a moment of the boot clock; null: there is none. */
static json_t *roster_left(const status_member_t *member, apr_int64_t until)
{
    apr_int64_t left = (until - member->view->boot + 999) / 1000;

    return until <= 0 || left > SECONDS_MAX ? json_null() : json_integer(left > 0 ? left : 0);
}

/* A text of the roster; null: there is none. */
static json_t *roster_text(const status_member_t *member, const char *text)
{
    return *text ? json_string(status_view_text(member->view->pool, text, strlen(text)))
                 : json_null();
}

static json_t *roster_time(apr_int64_t utc)
{
    char text[USHER_UTC_SIZE];

    return status_view_time(utc) ? json_string(usher_utc_format(text, status_view_time(utc)))
                                 : json_null();
}

/* Labels are a JSON object; what is none is not shown. */
static json_t *roster_labels(const usher_roster_entry_t *entry)
{
    json_t *labels = json_loads(entry->labels, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(labels)) {
        json_decref(labels);
        return json_object();
    }
    return labels;
}

json_t *status_roster_model(const status_member_t *member)
{
    const usher_roster_entry_t *entry = member->entry;

    if (!entry) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o}", "owner",
                     roster_text(member, entry->owner), "registered",
                     roster_time(entry->registered_at), "lease", entry->lease / 1000.0,
                     "expires_in", roster_left(member, entry->expires_at), "drain_in",
                     roster_left(member, entry->drain_until), "check",
                     roster_text(member, entry->check), "load",
                     entry->load < 0 ? json_null() : json_real(entry->load / 100.0), "labels",
                     roster_labels(entry));
}
