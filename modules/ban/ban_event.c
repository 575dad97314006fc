/* Something happened that rules may count: a request is over, a handshake or a registration failed.
 *
 * Requests are counted in log_transaction, which runs in a cleanup of the request's pool: all is known by
 * then, also of those that were not read as far as their headers. */
#include <apr_optional.h>
#include <http_protocol.h>
#include <http_request.h>

#include "ban_private.h"

#define KIND(on) (1u << (on))

typedef struct {
    const ban_dir_t *dir;
    unsigned int kinds; /* of rules that it is for */
    apr_uint64_t bytes; /* what it counts for those of bytes; for all others it is one */
    usher_cidr_address_t address;
    request_rec *r;   /* NULL: there is none */
    const char *what; /* NULL: the request tells */
    int status;
    server_rec *s;
    apr_pool_t *p;
} event_t;

/* Without the query, in which there may be a password. */
static const char *event_why(const event_t *event)
{
    const request_rec *r = event->r;

    if (!r) {
        return event->what;
    }
    return apr_psprintf(event->p, "%s %s %s%s%s", r->method ? r->method : "-", r->uri ? r->uri : "-",
                        event->what ? event->what : apr_itoa(event->p, event->status), r->hostname ? " " : "",
                        r->hostname ? r->hostname : "");
}

static void event_count(const event_t *event, const ban_rule_t *rule, apr_uint64_t amount)
{
    ban_prefix_t prefix = ban_rule_prefix(rule, event->address);
    ban_case_t what = { rule, event->address, ban_count_add(rule->number, &prefix, amount, rule->within), NULL,
                        event->s, event->p };

    if (what.events > rule->max) {
        if (event->r) {
            ban_share_see(event->address, event->r);
        }
        what.why = event_why(event);
        ban_sentence(&what);
    }
}

/* Only asked of what a rule is for. Who looks whether a certificate may be renewed finds nothing where it may not,
 * and comes again. */
static int event_is_exempt(const event_t *event)
{
    return event->r && event->r->uri && ban_exempt_has(event->r, event->r->uri);
}

static void event_happened(const event_t *event)
{
    const ban_dir_t *dir = event->dir;
    int i;

    for (i = 0; dir->rules && i < dir->rules->nelts; ++i) {
        const ban_rule_entry_t *entry = &APR_ARRAY_IDX(dir->rules, i, ban_rule_entry_t);
        const ban_rule_t *rule = entry->as[ban_dir_enforces(dir)];
        ban_on_e on = ban_rule_on(rule);

        if (event->kinds & KIND(on) && (!event->r || ban_rule_matches(rule, event->r, event->status))
            && !event_is_exempt(event)) {
            event_count(event, rule, on == BAN_ON_BYTES ? event->bytes : 1);
        }
    }
}

/* Who has not tried to show who he is is asked to do so: no failure. */
static int event_is_auth(const request_rec *r, int status)
{
    switch (status) {
    case HTTP_UNAUTHORIZED:
        return apr_table_get(r->headers_in, "Authorization") != NULL;
    case HTTP_PROXY_AUTHENTICATION_REQUIRED:
        return apr_table_get(r->headers_in, "Proxy-Authorization") != NULL;
    case HTTP_FORBIDDEN:
        while (r && !(ban_request_marks(r) & BAN_MARK_ASKED)) {
            r = r->next;
        }
        return r != NULL;
    default:
        return 0;
    }
}

static int event_access_checker(request_rec *r)
{
    if (ban_rule_wants(BAN_ON_AUTH) && !r->main) {
        ban_request_mark(r, ban_request_marks(r) | BAN_MARK_ASKED);
    }
    return DECLINED;
}

static int event_fixups(request_rec *r)
{
    if (ban_rule_wants(BAN_ON_AUTH) && !r->main) {
        ban_request_mark(r, ban_request_marks(r) & ~BAN_MARK_ASKED);
    }
    return DECLINED;
}

static int event_log_transaction(request_rec *r)
{
    const request_rec *last;
    event_t event = { .s = r->server, .p = r->pool };

    while (r->prev) {
        r = r->prev;
    }
    event.dir = ban_dir_of(r->per_dir_config);
    if (!ban_core || !ban_rule_are_there() || !ban_dir_is_on(event.dir) || !ban_request_client(r, &event.address)) {
        return DECLINED;
    }
    for (last = r; last->next; last = last->next) {
    }
    event.r = r;
    event.status = last->status;
    ban_share_request(event.address, r, event.status);
    event.kinds = KIND(BAN_ON_REQUEST) | KIND(BAN_ON_RATE) | KIND(BAN_ON_BYTES);
    if (ban_rule_wants(BAN_ON_AUTH) && event_is_auth(r, event.status)) {
        event.kinds |= KIND(BAN_ON_AUTH);
    }
    event.bytes = last->bytes_sent > 0 ? (apr_uint64_t)last->bytes_sent : 0;
    event_happened(&event);
    return DECLINED;
}

static void event_handshake(conn_rec *c, const char *what)
{
    event_t event = { .dir = ban_dir_of_server(c->base_server), .kinds = KIND(BAN_ON_HANDSHAKE), .what = what,
                      .s = c->base_server, .p = c->pool };

    if (ban_dir_is_on(event.dir) && ban_proxied_client(c, &event.address)) {
        event_happened(&event);
    }
}

static void event_register(request_rec *r, const char *what)
{
    event_t event = { .dir = ban_dir_of(r->per_dir_config), .kinds = KIND(BAN_ON_REGISTER), .r = r, .what = what,
                      .s = r->server, .p = r->pool };

    if (ban_dir_is_on(event.dir) && ban_request_client(r, &event.address)) {
        event_happened(&event);
    }
}

static void usher_ban_event(usher_ban_event_e event, conn_rec *c, request_rec *r, const char *what)
{
    if (!ban_core) {
        return;
    }
    if (event == USHER_BAN_HANDSHAKE && ban_rule_wants(BAN_ON_HANDSHAKE)) {
        event_handshake(c, what);
    }
    else if (event == USHER_BAN_REGISTER && ban_rule_wants(BAN_ON_REGISTER) && r) {
        event_register(r, what);
    }
}

void ban_event_register(void)
{
    /* Before all that let somebody in or not, and before the first that runs when he is in. */
    ap_hook_access_checker(event_access_checker, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(event_fixups, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(event_log_transaction, NULL, NULL, APR_HOOK_MIDDLE);
    APR_REGISTER_OPTIONAL_FN(usher_ban_event);
}
