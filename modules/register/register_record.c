/* A member as the store has it. Who reads one believes nothing: another node, an older
 * release or a thief of the database's password may have written it. */
#include "register_record.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "register_json.h"
#include "usher_expiry.h"

/* Up to the year 9999, UTC, ms. */
#define UTC_MAX APR_INT64_C(253402300799000)

char *register_record_key(char key[USHER_STORE_KEY_MAX + 1], const char *cluster,
                          const char *route)
{
    apr_snprintf(key, USHER_STORE_KEY_MAX + 1, "%s/%s", cluster, route);
    return key;
}

int register_record_read_key(usher_roster_entry_t *entry, const char *key)
{
    const char *slash = strchr(key, '/');
    apr_size_t len = slash ? (apr_size_t)(slash - key) : 0;

    if (!slash || !register_name_is_cluster(key, len)
        || !register_name_is_route(slash + 1, strlen(slash + 1))) {
        return 0;
    }
    memcpy(entry->cluster, key, len);
    entry->cluster[len] = '\0';
    apr_cpystrn(entry->route, slash + 1, sizeof(entry->route));
    usher_roster_id(entry->id, entry->cluster, entry->route);
    return 1;
}

/* The lease has ended, and that is why it drains. */
static int record_has_ended(const usher_roster_entry_t *entry, apr_int64_t now)
{
    return entry->drain_until && entry->expires_at <= now;
}

static void record_add_drain(json_t *json, const usher_roster_entry_t *entry,
                             const usher_clock_t *clock)
{
    char text[USHER_EXPIRY_SIZE];
    usher_expiry_t expiry;

    usher_expiry_save(&expiry, clock, entry->drain_until * 1000);
    json_object_set_new(json, "drain", json_string(usher_expiry_format(text, &expiry)));
    if (record_has_ended(entry, clock->boot_now() / 1000)) {
        json_object_set_new(json, "ended", json_true());
    }
}

/* What is not valid UTF-8 jansson makes no value of. */
int register_record_write(char value[USHER_STORE_VALUE_MAX + 1], const usher_roster_entry_t *entry,
                          const usher_clock_t *clock)
{
    json_t *json = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I}", "url", entry->url, "owner",
                             entry->owner, "weight", (int)entry->weight, "lease",
                             (int)entry->lease, "registered", (json_int_t)entry->registered_at,
                             "created", (json_int_t)entry->created);
    char *text;
    int fits;

    if (json && *entry->check) {
        json_object_set_new(json, "check", json_string(entry->check));
    }
    if (json && *entry->labels) {
        json_object_set_new(json, "labels",
                            register_json_object(entry->labels, strlen(entry->labels)));
    }
    if (json && *entry->secret) {
        json_object_set_new(json, "secret", json_string(entry->secret));
    }
    if (json && entry->drain_until) {
        record_add_drain(json, entry, clock);
    }
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    fits = text && strlen(text) <= USHER_STORE_VALUE_MAX;
    if (fits) {
        apr_cpystrn(value, text, USHER_STORE_VALUE_MAX + 1);
    }
    free(text);
    json_decref(json);
    return fits;
}

/* A text of it, without control characters. @return 1, also where it is not there and may be */
static int record_text(char *to, apr_size_t size, const json_t *json, const char *name, int must)
{
    const json_t *value = json_object_get(json, name);
    const char *text = json_string_value(value);
    apr_size_t len = json_string_length(value), i;

    *to = '\0';
    if (!text) {
        return !value && !must;
    }
    for (i = 0; i < len && !apr_iscntrl(text[i]); ++i) {
    }
    if (i < len || len >= size || (must && !len)) {
        return 0;
    }
    memcpy(to, text, len + 1);
    return 1;
}

static int record_number(apr_int64_t *to, const json_t *json, const char *name, apr_int64_t max)
{
    const json_t *value = json_object_get(json, name);

    *to = json_integer_value(value);
    return json_is_integer(value) && *to >= 0 && *to <= max;
}

static int record_read_url(usher_roster_entry_t *entry, const json_t *json)
{
    register_url_t url;
    char text[USHER_REGISTRY_URL_SIZE];

    return record_text(text, sizeof(text), json, "url", 1)
           && !register_url_parse(&url, text, strlen(text))
           && register_url_format(entry->url, sizeof(entry->url), &url);
}

static int record_read_texts(usher_roster_entry_t *entry, const json_t *json)
{
    const json_t *labels = json_object_get(json, "labels");

    return record_read_url(entry, json)
           && record_text(entry->owner, sizeof(entry->owner), json, "owner", 1)
           && record_text(entry->check, sizeof(entry->check), json, "check", 0)
           && register_json_is_check(entry->check)
           && record_text(entry->secret, sizeof(entry->secret), json, "secret", 0)
           && (!labels || register_json_labels(entry->labels, labels));
}

static int record_read_numbers(usher_roster_entry_t *entry, const json_t *json)
{
    apr_int64_t weight, lease, created;

    if (!record_number(&weight, json, "weight", 100)
        || !record_number(&lease, json, "lease", REGISTER_TIME_MAX) || lease < 1000
        || !record_number(&entry->registered_at, json, "registered", UTC_MAX)
        || !record_number(&created, json, "created", APR_UINT32_MAX)) {
        return 0;
    }
    entry->weight = (apr_uint32_t)weight;
    entry->lease = (apr_uint32_t)lease;
    entry->created = (apr_uint32_t)created;
    return 1;
}

static int record_read_drain(usher_roster_entry_t *entry, const json_t *json,
                             const usher_clock_t *clock)
{
    apr_int64_t now = clock->boot_now() / 1000;
    char text[USHER_EXPIRY_SIZE];
    usher_expiry_t expiry;

    if (!record_text(text, sizeof(text), json, "drain", 0)) {
        return 0;
    }
    if (!*text) {
        return 1;
    }
    if (usher_expiry_parse(&expiry, text, strlen(text)) != APR_SUCCESS) {
        return 0;
    }
    if (expiry.remaining > REGISTER_TIME_MAX * APR_INT64_C(1000)) {
        expiry.remaining = REGISTER_TIME_MAX * APR_INT64_C(1000);
    }
    entry->drain_until = usher_expiry_load(&expiry, clock) / 1000;
    entry->drain_until = entry->drain_until < now ? now : entry->drain_until;
    if (json_is_true(json_object_get(json, "ended"))) {
        entry->expires_at = now;
    }
    return 1;
}

int register_record_read(usher_roster_entry_t *entry, const char *key, const char *value,
                         const usher_clock_t *clock)
{
    json_t *json = register_json_object(value, strlen(value));
    apr_int64_t now = clock->boot_now() / 1000;
    int fine;

    memset(entry, 0, sizeof(*entry));
    entry->load = -1;
    fine = json && register_record_read_key(entry, key) && record_read_texts(entry, json)
           && record_read_numbers(entry, json);
    if (fine) {
        entry->saved_at = now;
        entry->expires_at = now + entry->lease;
        fine = record_read_drain(entry, json, clock);
    }
    json_decref(json);
    return fine;
}
