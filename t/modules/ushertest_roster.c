/* The roster as mod_usher_register writes it, over HTTP: members sign in and out. */
#include "ushertest.h"
#include "usher_clock.h"
#include "usher_join.h"

#define LEASE 3600000 /* ms */

static apr_int64_t roster_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

/* Greater than all before. */
static apr_uint64_t roster_version(void)
{
    return (apr_uint64_t)usher_clock_system()->utc_now();
}

static void roster_field(usher_roster_entry_t *entry, const char *key, const char *value)
{
    if (!strcmp(key, "weight")) {
        entry->weight = (apr_uint32_t)apr_atoi64(value);
    }
    else if (!strcmp(key, "drain")) {
        entry->drain_until = roster_now() + apr_atoi64(value);
    }
    else if (!strcmp(key, "check")) {
        apr_cpystrn(entry->check, value, sizeof(entry->check));
    }
    else if (!strcmp(key, "owner")) {
        apr_cpystrn(entry->owner, value, sizeof(entry->owner));
    }
    else if (!strcmp(key, "secret")) {
        apr_cpystrn(entry->secret, value, sizeof(entry->secret));
    }
}

/* "cluster,route,url,key=value..." */
static void roster_parse(usher_roster_entry_t *entry, char *text)
{
    char *last, *word = apr_strtok(text, ",", &last);

    memset(entry, 0, sizeof(*entry));
    entry->weight = 1;
    entry->load = -1;
    entry->lease = LEASE;
    entry->expires_at = roster_now() + LEASE;
    entry->registered_at = usher_clock_system()->utc_now() / 1000;
    apr_cpystrn(entry->cluster, word, sizeof(entry->cluster));
    word = apr_strtok(NULL, ",", &last);
    apr_cpystrn(entry->route, word ? word : "", sizeof(entry->route));
    word = apr_strtok(NULL, ",", &last);
    apr_cpystrn(entry->url, word ? word : "", sizeof(entry->url));
    while ((word = apr_strtok(NULL, ",", &last)) != NULL) {
        char *value = strchr(word, '=');

        if (value) {
            *value++ = 0;
            roster_field(entry, word, value);
        }
    }
    usher_roster_id(entry->id, entry->cluster, entry->route);
    entry->version = roster_version();
}

void ushertest_join(request_rec *r, const char *text)
{
    usher_roster_entry_t entry;

    roster_parse(&entry, apr_pstrdup(r->pool, text));
    ap_rprintf(r, "rv=%d\n", ushertest_core->roster_set(&entry));
}

void ushertest_leave(request_rec *r, const char *text)
{
    usher_roster_entry_t entry;

    roster_parse(&entry, apr_pstrdup(r->pool, text));
    ap_rprintf(r, "rv=%d\n", ushertest_core->roster_remove(entry.id, entry.version));
}

/* "rounds,members,cluster,url": in each round one of the members comes or goes. */
void ushertest_churn(request_rec *r, const char *text)
{
    char *rest = NULL;
    apr_int64_t rounds = apr_strtoi64(text, &rest, 10), members, i;

    members = apr_strtoi64(*rest ? rest + 1 : rest, &rest, 10);
    if (members < 1 || *rest++ != ',') {
        return;
    }
    for (i = 0; i < rounds; ++i) {
        usher_roster_entry_t entry;
        char *comma, *line = apr_pstrdup(r->pool, rest);

        comma = strchr(line, ',');
        roster_parse(&entry, apr_psprintf(r->pool, "%.*s,churn%" APR_INT64_T_FMT ",%s", (int)(comma - line), line,
                                          i / 2 % members, comma + 1));
        if (i % 2) {
            ushertest_core->roster_remove(entry.id, entry.version);
        }
        else {
            ushertest_core->roster_set(&entry);
        }
        apr_sleep(22000); /* a list is made in 20 ms at most */
    }
    ap_rprintf(r, "rounds=%" APR_INT64_T_FMT "\n", rounds);
}

/* In place of mod_usher_register's: "name:good" is "s3cret", others are not known. */
static int usher_register_open_secret(const unsigned char *id, const char *secret, char *text,
                                      apr_size_t size)
{
    if (strcmp(secret, "name:good") != 0) {
        return 0;
    }
    apr_cpystrn(text, "s3cret", size);
    return 1;
}

void ushertest_roster_register(void)
{
    APR_REGISTER_OPTIONAL_FN(usher_register_open_secret);
}
