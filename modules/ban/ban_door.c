/* Connections of those who are banned end before anything is read of them: before the TLS handshake, which is
 * what costs. */
#include "ban_private.h"

#include <http_protocol.h>
#include <sys/socket.h>
#include <apr_portable.h>

#include "usher_duration.h"

APLOG_USE_MODULE(usher_ban);

/* How many were refused is said so often, ms. */
#define SAY_AGAIN 60000

/* --- in words */

/* In minutes where seconds do not matter. */
static const char *verdict_left(const ban_t *ban, apr_pool_t *p)
{
    apr_int64_t left = ban->until - ban_now(), unit = left > 600000 ? 60000 : 1000;
    char text[USHER_DURATION_SIZE];

    if (ban->until == BAN_FOREVER) {
        return "for ever";
    }
    left = left > 0 ? (left + unit - 1) / unit * unit : 0;
    left = left < USHER_DURATION_MAX / 1000 ? left : USHER_DURATION_MAX / 1000;
    return apr_pstrcat(p, "for another ", usher_duration_format(text, left * 1000), NULL);
}

const char *ban_verdict_text(const ban_verdict_t *verdict, apr_pool_t *p)
{
    switch (verdict->kind) {
    case BAN_JAIL:
        return apr_psprintf(p, "banned by %s%s, %s", verdict->ban.origin == BAN_BY_RULE ? "rule " : "",
                            verdict->name, verdict_left(&verdict->ban, p));
    case BAN_LIST:
        return apr_psprintf(p, "in the list %s", verdict->name);
    case BAN_GEO:
        return apr_psprintf(p, "banned by UsherBanGeo %s", verdict->name);
    default:
        return "not banned";
    }
}

/* --- connections */

/* Some versions of mod_ssl know that only when their own pre_connection is over. */
static int door_is_tls(conn_rec *c)
{
    request_rec r = { .pool = c->pool, .connection = c, .server = c->base_server };

    return !strcmp(ap_run_http_scheme(&r), "https");
}

/* Who is in a list or of a country has done nothing, and may be who looks whether a certificate may be renewed:
 * without TLS there is no handshake to be saved, so he may say what he wants. */
static int door_waits(conn_rec *c, const ban_verdict_t *verdict)
{
    return verdict->kind != BAN_JAIL && ban_exempt_is_there(c->base_server) && !door_is_tls(c);
}

int ban_door_judge(conn_rec *c, usher_cidr_address_t address, ban_verdict_t *verdict)
{
    return !ban_judge_is_idle() && ban_judge(address, verdict) && ban_dir_is_on(ban_dir_of_server(c->base_server))
           && !door_waits(c, verdict);
}

/* What is closed so is reset: the kernel forgets it at once. */
static void door_set_reset(apr_socket_t *socket)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    apr_os_sock_t fd;

    if (!apr_os_sock_get(&fd, socket)) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
}

void ban_door_refuse(conn_rec *c, apr_socket_t *socket, usher_cidr_address_t address, const ban_verdict_t *verdict)
{
    ban_total_add(BAN_REFUSED_CONNECTION);
    if (APLOG_C_IS_LEVEL(c, APLOG_INFO)) {
        ban_prefix_t one = ban_prefix_of(address, 128);
        char text[BAN_PREFIX_SIZE];

        ap_log_cerror(APLOG_MARK, APLOG_INFO, 0, c, USHERLOGNO(8042) "%s is refused: %s",
                      ban_prefix_format(text, &one), ban_verdict_text(verdict, c->pool));
    }
    if (ban_dir_of_server(c->base_server)->refuse == BAN_REFUSE_RESET) {
        door_set_reset(socket);
    }
}

static int door_refuse(conn_rec *c, void *csd, usher_cidr_address_t address, const ban_verdict_t *verdict)
{
    ban_door_refuse(c, csd, address, verdict);
    return HTTP_FORBIDDEN;
}

int ban_door_pre_connection(conn_rec *c, void *csd)
{
    usher_cidr_address_t address;
    ban_verdict_t verdict;
    apr_uint32_t changes;

    if (!ban_core || c->master || c->outgoing || ban_proxied_begin(c) || ban_judge_is_idle()) {
        return DECLINED;
    }
    address = ban_address(c->client_addr);
    changes = ban_jail_changes(); /* before the look */
    if (!ban_judge(address, &verdict)) {
        ban_conn_pass(ban_conn_of(c), address, changes, apr_time_now());
        return DECLINED;
    }
    if (!ban_dir_is_on(ban_dir_of_server(c->base_server)) || ban_never_is_proxy(address)) {
        return DECLINED;
    }
    if (door_waits(c, &verdict)) {
        ban_conn_of(c)->waits = 1;
        return DECLINED;
    }
    return door_refuse(c, csd, address, &verdict);
}

int ban_door_after_ssl(conn_rec *c, void *csd)
{
    const ban_conn_t *conn = ap_get_module_config(c->conn_config, &usher_ban_module);
    usher_cidr_address_t address;
    ban_verdict_t verdict;

    if (!conn || !conn->waits) {
        return DECLINED;
    }
    address = ban_address(c->client_addr);
    return ban_door_judge(c, address, &verdict) ? door_refuse(c, csd, address, &verdict) : DECLINED;
}

/* --- how many */

static void door_say(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    static apr_uint64_t connections, requests; /* until then */
    static apr_int64_t said_at;                /* 0: this child has not looked yet */
    apr_uint64_t connections_now = ban_total(BAN_REFUSED_CONNECTION), requests_now = ban_total(BAN_REFUSED_REQUEST);
    apr_int64_t now = ban_now();

    if (said_at && now - said_at < SAY_AGAIN) {
        return;
    }
    if (said_at && (connections_now != connections || requests_now != requests)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8043)
                     "In the last minute %" APR_UINT64_T_FMT " connections and %" APR_UINT64_T_FMT " requests of "
                     "banned clients were refused; LogLevel usher_ban:info names each", connections_now - connections,
                     requests_now - requests);
    }
    connections = connections_now;
    requests = requests_now;
    said_at = now;
}

void ban_door_post_config(void)
{
    static const usher_tick_work_t work = { "refused clients", USHER_TICK_CHILD, door_say, NULL };

    ban_core->tick_add(&work);
}
