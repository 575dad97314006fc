/* Refused requests: a line in the log for each, as long as they are few, and a limit for those who cannot show who
 * they are.
 *
 * An address that failed too often within a minute is refused without a look at its signature until
 * the minute is over. Several servers may share an address (a NAT, a proxy that mod_remoteip does not know): a
 * key that was good from this address lately goes on, as long as it does not fail too often itself.
 *
 * The piece "failures": a header of atomics, and a table of addresses and keys. Two who count at
 * once may count one; whatever stands there is understood. */
#include <apr_general.h>

#include "register_auth.h"
#include "usher_table.h"

APLOG_USE_MODULE(usher_register);

#define LAYOUT 1
#define WINDOW 60000           /* ms */
#define FAILURES_MAX 60        /* of an address, and of a key there, in a window */
#define GOOD_LIFE (24 * 3600 * 1000) /* ms */
#define LINES_MAX 60           /* of all, in a window */
#define LINES_EACH 6           /* of one address */
#define VALUE_SIZE 16

typedef struct {
    _Atomic apr_int64_t window; /* of the log; in windows of the boot clock */
    _Atomic apr_uint32_t lines;
    _Atomic apr_uint32_t left_out;
    char pad[48];
} failures_header_t;
_Static_assert(sizeof(failures_header_t) == 64, "part of a segment's layout");

/* What is known of an address, or of a key at an address. */
typedef struct {
    apr_uint32_t window, failures, lines, good;
} failures_value_t;
_Static_assert(sizeof(failures_value_t) == VALUE_SIZE, "part of a segment's layout");

static usher_memory_t *memory;

static void failures_table(usher_table_t *table, void *base, apr_uint64_t size)
{
    usher_table_open(table, (char *)base + sizeof(failures_header_t), size - sizeof(failures_header_t), VALUE_SIZE,
                     GOOD_LIFE);
}

static void failures_init(void *base, apr_uint64_t size)
{
    unsigned char secret[USHER_TABLE_SECRET_SIZE] = { 0 };
    usher_table_t table;

    apr_generate_random_bytes(secret, sizeof(secret));
    failures_table(&table, base, size);
    usher_table_init(&table, secret);
}

static const usher_memory_spec_t failures_spec = {
    .name = "failures",
    .layout = LAYOUT,
    .size = 512 * 1024,
    .size_min = 64 * 1024,
    .size_max = (apr_uint64_t)1 << 30,
    .init = failures_init,
};

void register_failures_init(void)
{
    memory = NULL;
}

void register_failures_check_config(void)
{
    memory = register_core->memory_declare(&failures_spec);
}

static failures_header_t *failures_open(usher_table_t *table)
{
    apr_uint64_t size;
    failures_header_t *header = memory ? register_core->memory_base(memory, &size) : NULL;

    if (header) {
        failures_table(table, header, size);
    }
    return header;
}

static apr_uint32_t failures_window(void)
{
    return (apr_uint32_t)(register_auth_now() / WINDOW);
}

/* IPv6: the network, as a machine has all of its addresses. */
static usher_table_key_t failures_key(const usher_table_t *table, const register_failer_t *failer, int with_key)
{
    usher_cidr_address_t address = register_auth_address(failer->r->useragent_addr);
    unsigned char bytes[sizeof(address) + USHER_REGKEYS_NAME_MAX] = { 0 };
    apr_size_t len = with_key ? failer->keyid.len : 0;
    usher_table_space_t space = usher_table_space(table, with_key ? "key" : "address", with_key ? 3 : 7);

    if (address.high) {
        address.low = 0;
    }
    memcpy(bytes, &address, sizeof(address));
    len = len > USHER_REGKEYS_NAME_MAX ? USHER_REGKEYS_NAME_MAX : len;
    if (len) {
        memcpy(bytes + sizeof(address), failer->keyid.text, len);
    }
    return usher_table_key(&space, bytes, sizeof(address) + len);
}

/* What is known; counts of an older window are none. @return 1; 0: nothing is */
static int failures_get(const usher_table_t *table, const usher_table_key_t *key, failures_value_t *value)
{
    apr_uint32_t window = failures_window();

    if (!usher_table_get(table, key, register_auth_now(), 0, value)) {
        *value = (failures_value_t) { .window = window };
        return 0;
    }
    if (value->window != window) {
        *value = (failures_value_t) { .window = window, .good = value->good };
    }
    return 1;
}

static void failures_put(const usher_table_t *table, const usher_table_key_t *key, const failures_value_t *value)
{
    usher_table_put(table, key, register_auth_now(), value->good ? GOOD_LIFE : 2 * WINDOW, value);
}

int register_failures_too_many(const register_failer_t *failer)
{
    usher_table_t table;
    usher_table_key_t key;
    failures_value_t address, its;

    if (!failures_open(&table)) {
        return 0;
    }
    key = failures_key(&table, failer, 0);
    failures_get(&table, &key, &address);
    if (!failer->keyid.text) {
        return address.failures >= FAILURES_MAX;
    }
    key = failures_key(&table, failer, 1);
    failures_get(&table, &key, &its);
    return its.failures >= FAILURES_MAX || (address.failures >= FAILURES_MAX && !its.good);
}

static void failures_add(const usher_table_t *table, const register_failer_t *failer, int with_key)
{
    usher_table_key_t key = failures_key(table, failer, with_key);
    failures_value_t value;

    failures_get(table, &key, &value);
    ++value.failures;
    failures_put(table, &key, &value);
}

void register_failures_count(const register_failer_t *failer)
{
    usher_table_t table;

    if (failures_open(&table)) {
        failures_add(&table, failer, 0);
        if (failer->keyid.text) {
            failures_add(&table, failer, 1);
        }
    }
}

void register_failures_good(const register_failer_t *failer)
{
    usher_table_t table;
    usher_table_key_t key;
    failures_value_t value;

    if (!failer->keyid.text || !failures_open(&table)) {
        return;
    }
    key = failures_key(&table, failer, 1);
    failures_get(&table, &key, &value);
    if (!value.good) {
        value.good = 1;
        failures_put(&table, &key, &value);
    }
    else { /* written anew now and then only */
        usher_table_get(&table, &key, register_auth_now(), GOOD_LIFE, &value);
    }
}

/* Whether this address may have one more line. */
static int failures_address_line(const usher_table_t *table, const register_failer_t *failer)
{
    usher_table_key_t key = failures_key(table, failer, 0);
    failures_value_t value;

    failures_get(table, &key, &value);
    if (value.lines >= LINES_EACH) {
        return 0;
    }
    ++value.lines;
    failures_put(table, &key, &value);
    return 1;
}

/* How many were left out before this window; the first one to ask in it is told. */
static apr_uint32_t failures_turn(failures_header_t *header)
{
    apr_int64_t window = failures_window(), was = atomic_load(&header->window);

    if (was == window || !atomic_compare_exchange_strong(&header->window, &was, window)) {
        return 0;
    }
    atomic_store(&header->lines, 0);
    return atomic_exchange(&header->left_out, 0);
}

static void failures_say_left_out(apr_uint32_t left_out, server_rec *s)
{
    if (left_out) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(6059)
                     "usher-register: %u more requests were refused in a minute; the log has only "
                     "the first ones", left_out);
    }
}

static int failures_may_log(request_rec *r)
{
    register_failer_t failer = { r, { NULL, 0 } };
    usher_table_t table;
    failures_header_t *header = failures_open(&table);

    if (!header) {
        return 1;
    }
    failures_say_left_out(failures_turn(header), r->server);
    if (failures_address_line(&table, &failer) && atomic_fetch_add(&header->lines, 1) < LINES_MAX) {
        return 1;
    }
    atomic_fetch_add(&header->left_out, 1);
    return 0;
}

/* @return what was asked for, by whom, as the log may have it */
static const char *failures_what(request_rec *r, const char *who)
{
    return apr_psprintf(r->pool, "%s %s of %s from %s", ap_escape_logitem(r->pool, r->method),
                        ap_escape_logitem(r->pool, r->uri), who ? who : "somebody", r->useragent_ip);
}

/* Who has no right to what he asks for; not who asks for what is not there, or comes at a bad time. */
static void failures_tell_ban(request_rec *r, const register_error_t *error)
{
    if (register_ban_event && (error->status == HTTP_UNAUTHORIZED || error->status == HTTP_FORBIDDEN
                               || error->status == HTTP_TOO_MANY_REQUESTS)) {
        register_ban_event(USHER_BAN_REGISTER, r->connection, r, error->code);
    }
}

void register_failures_log(request_rec *r, const char *who, const register_error_t *error)
{
    int is_asked = error->status == HTTP_NOT_FOUND; /* who asks whether he is signed in does no wrong */

    failures_tell_ban(r, error);
    if (!APLOG_R_IS_LEVEL(r, is_asked ? APLOG_INFO : APLOG_WARNING) || !failures_may_log(r)) {
        return;
    }
    if (is_asked) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(6061)
                      "%s: %s is refused: %s: %s", r->handler, failures_what(r, who), error->code,
                      ap_escape_logitem(r->pool, error->message));
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(6060)
                      "%s: %s is refused: %s: %s", r->handler, failures_what(r, who), error->code,
                      ap_escape_logitem(r->pool, error->message));
    }
}

/* What was left out is told also when nobody comes any more. */
static void failures_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    usher_table_t table;
    failures_header_t *header = failures_open(&table);

    if (header && atomic_load_explicit(&header->left_out, memory_order_relaxed)) {
        failures_say_left_out(failures_turn(header), s);
    }
}

static const usher_tick_work_t failures_work = {
    .name = "refused registrations",
    .where = USHER_TICK_CHILD,
    .run = failures_tick,
};

void register_failures_post_config(void)
{
    if (memory) {
        register_core->tick_add(&failures_work);
    }
}
