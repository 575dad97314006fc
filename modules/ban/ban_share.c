/* Addresses that look like a proxy that was not declared: their requests have headers of a proxy, or they have
 * a great part of the traffic. To ban one would lock out all who come through it.
 *
 * The piece "ban-shares": lines of the log, shares of the traffic, and a table of addresses. Any child may write anything
 * there: then one is spared who should not be, or the other way round. An IPv6 address counts as its /64. */
#include <apr_general.h>
#include <apr_lib.h>

#include "ban_private.h"
#include "usher_shares.h"
#include "usher_table.h"

APLOG_USE_MODULE(usher_ban);

#define LAYOUT 1
#define MINUTE 60000
#define SEEN_LIFE (24 * 60 * MINUTE)
#define WARNED_LIFE (24 * 60 * MINUTE)
#define VALUE_SIZE 8
#define LINES_MAX 6 /* a minute, of all */
#define TRAFFIC_MIN 1000
#define PERCENT_MAX 30
#define SAMPLE 16 /* of so many requests one is looked at for headers */

typedef struct {
    _Atomic apr_int64_t minute; /* of the log */
    _Atomic apr_uint32_t lines;
    char pad[52];
    usher_shares_t shares;
    char pad_2[64 - sizeof(usher_shares_t) % 64];
} share_header_t;
_Static_assert(sizeof(share_header_t) % 64 == 0, "part of a segment's layout");

static usher_memory_t *memory;

static void share_table(usher_table_t *table, void *base, apr_uint64_t size)
{
    usher_table_open(table, (char *)base + sizeof(share_header_t), size - sizeof(share_header_t), VALUE_SIZE,
                     SEEN_LIFE);
}

static void share_memory_init(void *base, apr_uint64_t size)
{
    unsigned char secret[USHER_TABLE_SECRET_SIZE] = { 0 };
    share_header_t *header = base;
    usher_table_t table;

    apr_generate_random_bytes((unsigned char *)&header->shares.key, sizeof(header->shares.key));
    apr_generate_random_bytes(secret, sizeof(secret));
    share_table(&table, base, size);
    usher_table_init(&table, secret);
}

static const usher_memory_spec_t share_spec = {
    .name = "ban-shares",
    .layout = LAYOUT,
    .size = 512 * 1024,
    .size_min = 256 * 1024,
    .size_max = (apr_uint64_t)1 << 30,
    .init = share_memory_init,
};

void ban_share_init(void)
{
    memory = NULL;
}

void ban_share_check_config(void)
{
    memory = ban_core->memory_declare(&share_spec);
}

/* @return NULL: there is no memory, nobody looks like anything */
static share_header_t *share_open(usher_table_t *table)
{
    apr_uint64_t size;
    share_header_t *header = memory ? ban_core->memory_base(memory, &size) : NULL;

    if (header && table) {
        share_table(table, header, size);
    }
    return header;
}

static apr_uint64_t share_who(usher_cidr_address_t address)
{
    return address.high ? address.high : address.low;
}

static usher_table_key_t share_key(const usher_table_t *table, const char *name, usher_cidr_address_t address)
{
    usher_table_space_t space = usher_table_space(table, name, strlen(name));
    apr_uint64_t who = share_who(address);

    return usher_table_key(&space, &who, sizeof(who));
}

static const char *const x_names[] = {
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Forwarded-Proto", "X-Forwarded-Host", NULL
};

static int share_is_of(const char *const *names, const char *field)
{
    while (*names && ap_cstr_casecmp(field, *names) != 0) {
        ++names;
    }
    return *names != NULL;
}

/* Headers that only a proxy, or who pretends to be one, sends. */
static int share_is_name(const char *field)
{
    switch (apr_toupper(*field)) {
    case 'C':
        return !ap_cstr_casecmp(field, "CF-Connecting-IP");
    case 'F':
        return !ap_cstr_casecmp(field, "Forwarded") || !ap_cstr_casecmp(field, "Fastly-Client-IP");
    case 'T':
        return !ap_cstr_casecmp(field, "True-Client-IP");
    case 'V':
        return !ap_cstr_casecmp(field, "Via");
    case 'X':
        return share_is_of(x_names, field);
    default:
        return 0;
    }
}

static int share_is_forwarded(const request_rec *r)
{
    const apr_array_header_t *fields = apr_table_elts(r->headers_in);
    int i;

    for (i = 0; i < fields->nelts; ++i) {
        if (share_is_name(APR_ARRAY_IDX(fields, i, apr_table_entry_t).key)) {
            return 1;
        }
    }
    return 0;
}

/* Whether a declared proxy has told in a header who the client is: then the other ones are its own. */
static int share_is_told(const request_rec *r)
{
    usher_cidr_address_t address;

    return r->useragent_addr != r->connection->client_addr
           && ban_proxied_of(r->connection, &address) == BAN_PROXIED_NOT;
}

void ban_share_look(request_rec *r)
{
    if (share_is_told(r) ? ban_remoteip_has_left(r) : share_is_forwarded(r)) {
        ban_request_mark(r, ban_request_marks(r) | BAN_MARK_FORWARDED);
    }
}

void ban_share_see(usher_cidr_address_t address, const request_rec *r)
{
    apr_uint64_t value = 1;
    apr_int64_t now = ban_now();
    usher_table_t table;
    usher_table_key_t key;

    if (!(ban_request_marks(r) & BAN_MARK_FORWARDED) || !share_open(&table)) {
        return;
    }
    key = share_key(&table, "forwards", address);
    if (!usher_table_get(&table, &key, now, SEEN_LIFE, &value)) {
        usher_table_put(&table, &key, now, SEEN_LIFE, &value);
    }
}

void ban_share_request(usher_cidr_address_t address, const request_rec *r, int status)
{
    share_header_t *header = share_open(NULL);

    if (header && status < HTTP_BAD_REQUEST) {
        usher_shares_add(&header->shares, share_who(address), ban_now());
    }
    /* Microseconds: as good as chance. */
    if (header && r->request_time % SAMPLE == 0) {
        ban_share_see(address, r);
    }
}

/* The percentage, of enough; 0 */
static int share_percent(const share_header_t *header, usher_cidr_address_t address)
{
    apr_uint64_t all, his = usher_shares_get(&header->shares, share_who(address), ban_now(), &all);

    return all < TRAFFIC_MIN ? 0 : his >= all ? 100 : (int)(his * 100 / all);
}

/* Once a day for each, and not for too many of them. */
static int share_may_warn(share_header_t *header, const usher_table_t *table, usher_cidr_address_t address)
{
    apr_int64_t now = ban_now(), minute = now / MINUTE, was = atomic_load(&header->minute);
    usher_table_key_t key = share_key(table, "warned", address);
    apr_uint64_t value = 1;

    if (usher_table_get(table, &key, now, 0, &value)) {
        return 0;
    }
    if (was != minute && atomic_compare_exchange_strong(&header->minute, &was, minute)) {
        atomic_store(&header->lines, 0);
    }
    if (atomic_fetch_add(&header->lines, 1) >= LINES_MAX) {
        return 0;
    }
    usher_table_put(table, &key, now, WARNED_LIFE, &value);
    return 1;
}

static void share_warn(usher_cidr_address_t address, int percent, server_rec *s)
{
    ban_prefix_t prefix = { address, 128 };
    char text[BAN_PREFIX_SIZE];

    ban_prefix_format(text, &prefix);
    if (percent > PERCENT_MAX) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8020)
                     "%s is not banned, as it looks like a proxy: %d %% of the good requests of the last ten minutes "
                     "came from it. If it is one, declare it with RemoteIPInternalProxy or UsherBanProxies; if it "
                     "is none, \"UsherBanUndeclared ban\" bans such addresses, too", text, percent);
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8021)
                 "%s is not banned, as it looks like a proxy: its requests have X-Forwarded-For or another header "
                 "of a proxy. If it is one, declare it with RemoteIPInternalProxy or UsherBanProxies; if it is none "
                 "(anybody can send such headers), \"UsherBanUndeclared ban\" bans such addresses, too", text);
}

int ban_share_is_proxy(usher_cidr_address_t address, server_rec *s)
{
    usher_table_t table;
    share_header_t *header = ban_conf_spares_undeclared() ? share_open(&table) : NULL;
    apr_uint64_t value;
    usher_table_key_t key;
    int percent;

    if (!header) {
        return 0;
    }
    key = share_key(&table, "forwards", address);
    percent = share_percent(header, address);
    if (percent <= PERCENT_MAX && !usher_table_get(&table, &key, ban_now(), 0, &value)) {
        return 0;
    }
    if (share_may_warn(header, &table, address)) {
        share_warn(address, percent, s);
    }
    return 1;
}
