/* Requests of those who are banned: clients behind proxies, which are known only now, and on connections that
 * were open before.
 *
 * It is done in quick_handler, the first hook after post_read_request, where mod_remoteip tells who the client is:
 * what fails there ends the connection, which may be a proxy's and carry other people's requests next. */
#include "ban_private.h"

#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>

APLOG_USE_MODULE(usher_ban);

/* Lists and countries have no count of changes: a connection's client is looked up again so often. */
#define LOOK_AGAIN apr_time_from_sec(10)

unsigned int ban_request_marks(const request_rec *r)
{
    return (unsigned int)(apr_uintptr_t)ap_get_module_config(r->request_config, &usher_ban_module);
}

void ban_request_mark(request_rec *r, unsigned int marks)
{
    ap_set_module_config(r->request_config, &usher_ban_module, (void *)(apr_uintptr_t)marks);
}

ban_conn_t *ban_conn_of(conn_rec *c)
{
    ban_conn_t *conn = ap_get_module_config(c->conn_config, &usher_ban_module);

    if (!conn) {
        conn = apr_pcalloc(c->pool, sizeof(*conn));
        ap_set_module_config(c->conn_config, &usher_ban_module, conn);
    }
    return conn;
}

void ban_conn_pass(ban_conn_t *conn, usher_cidr_address_t address, apr_uint32_t changes, apr_time_t now)
{
    conn->passed = address;
    conn->changes = changes;
    conn->passed_at = now;
}

static int request_is_same(usher_cidr_address_t a, usher_cidr_address_t b)
{
    return a.high == b.high && a.low == b.low;
}

/* Whether the same client came on this connection just now, or asked, and was let in. */
static int request_passed(usher_cidr_address_t address, apr_uint32_t changes, const request_rec *r)
{
    const conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    const ban_conn_t *conn = ap_get_module_config(c->conn_config, &usher_ban_module);

    return conn && conn->passed_at && request_is_same(conn->passed, address) && conn->changes == changes
           && r->request_time - conn->passed_at < LOOK_AGAIN && r->request_time >= conn->passed_at;
}

/* --- the answer */

/* As it will be for the path. The walk through <Location> sections is the one that comes next anyway; it goes by
 * r->uri, which is not decoded yet. */
static const ban_dir_t *request_dir(request_rec *r, char *path)
{
    char *uri = r->uri;

    if (path) {
        r->uri = path;
        ap_location_walk(r);
        r->uri = uri;
    }
    return ban_dir_of(r->per_dir_config);
}

/* Whether nobody else speaks on this connection. */
static int request_is_alone(const request_rec *r, usher_cidr_address_t address)
{
    usher_cidr_address_t client;

    return ban_proxied_of(r->connection, &client) != BAN_PROXIED_NOT
           || request_is_same(ban_address(r->connection->client_addr), address);
}

/* An HTTP/2 connection ends when there is nothing more to read; what was asked before is still answered. */
static void request_end_connection(conn_rec *c)
{
    if (c->master) {
        apr_socket_shutdown(ap_get_conn_socket(c->master), APR_SHUTDOWN_READ);
    }
    else {
        c->keepalive = AP_CONN_CLOSE;
    }
}

/* Seconds until he may come again; 0: that is not known. */
static apr_int64_t request_retry_after(const ban_verdict_t *verdict)
{
    if (verdict->kind != BAN_JAIL || verdict->ban.until == BAN_FOREVER) {
        return 0;
    }
    return (verdict->ban.until - ban_now() + 999) / 1000;
}

static int request_answer(request_rec *r, int answer, const ban_verdict_t *verdict)
{
    apr_int64_t seconds = request_retry_after(verdict);

    switch (answer) {
    case BAN_ANSWER_CLOSE:
        r->connection->keepalive = AP_CONN_CLOSE;
        r->connection->aborted = 1;
        r->status = HTTP_FORBIDDEN; /* for the log */
        return DONE;
    case BAN_ANSWER_429:
        if (seconds > 0) {
            apr_table_setn(r->err_headers_out, "Retry-After", apr_psprintf(r->pool, "%" APR_INT64_T_FMT, seconds));
        }
        return HTTP_TOO_MANY_REQUESTS;
    default:
        return HTTP_FORBIDDEN;
    }
}

static int request_refuse(request_rec *r, usher_cidr_address_t address, const ban_verdict_t *verdict)
{
    char *path = ban_exempt_path(r);
    ap_conf_vector_t *outer = r->per_dir_config;
    const ban_dir_t *dir;

    if (path && ban_exempt_has(r, path)) {
        return DECLINED;
    }
    dir = request_dir(r, path);
    if (!ban_dir_is_on(dir)) {
        r->per_dir_config = outer;
        return DECLINED;
    }
    ban_request_mark(r, ban_request_marks(r) | BAN_MARK_REFUSED);
    ban_total_add(BAN_REFUSED_REQUEST);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(8044) "%s is refused: %s", r->useragent_ip,
                  ban_verdict_text(verdict, r->pool));
    if (request_is_alone(r, address)) {
        request_end_connection(r->connection);
    }
    return request_answer(r, dir->answer, verdict);
}

int ban_request_quick_handler(request_rec *r, int lookup)
{
    usher_cidr_address_t address;
    apr_uint32_t changes;
    ban_verdict_t verdict;

    if (!ban_core || r->main || r->prev) {
        return DECLINED;
    }
    ban_request_mark(r, BAN_MARK_SEEN);
    if (ban_rule_are_there()) {
        ban_share_look(r);
    }
    if (ban_judge_is_idle()) {
        return DECLINED;
    }
    address = ban_address(r->useragent_addr);
    changes = ban_jail_changes(); /* before the look */
    if (request_passed(address, changes, r)) {
        return DECLINED;
    }
    if (ban_judge(address, &verdict)) {
        return request_refuse(r, address, &verdict);
    }
    /* Streams of a connection run side by side: none of them writes what is its. */
    if (!r->connection->master) {
        ban_conn_pass(ban_conn_of(r->connection), address, changes, r->request_time);
    }
    return DECLINED;
}

/* --- whom rules count a request for */

/* Of a request that was read as far as its headers. */
static int request_client(request_rec *r, usher_cidr_address_t *address)
{
    conn_rec *c = r->connection;
    ban_proxied_e proxied = ban_proxied_of(c, address);

    if (proxied != BAN_PROXIED_NOT) {
        return proxied == BAN_PROXIED_CLIENT;
    }
    *address = ban_address(r->useragent_addr);
    return r->useragent_addr != c->client_addr || !ban_never_is_declared(*address);
}

int ban_request_client(request_rec *r, usher_cidr_address_t *address)
{
    unsigned int marks;

    while (r->main || r->prev) {
        r = r->main ? r->main : r->prev;
    }
    marks = ban_request_marks(r);
    if (marks & BAN_MARK_REFUSED) {
        return 0;
    }
    return marks & BAN_MARK_SEEN ? request_client(r, address) : ban_proxied_client(r->connection, address);
}
