/* After an answer on a kept connection its thread waits a moment for the next
 * request, instead of giving the connection back to the MPM's listener, who would
 * wake a thread for it.
 *
 * An asynchronous MPM runs the process_connection hooks again when they come back
 * with CONN_STATE_WRITE_COMPLETION and data_in_input_filters: that is how it
 * serves pipelined requests. We run the hooks that follow ours, which are all,
 * and set that mark where the next request is there in time. Nothing else
 * changes: no state, timer or queue of the MPM is touched. */
#include <ap_mpm.h>
#include <apr_portable.h>
#include <poll.h>

#include "linger_private.h"

/* What a connection has earned by requests that came in time, one each; one that came
 * late costs four. To wait in vain costs more than a hit gains where all threads have
 * work anyway, so only who is nearly always in time is waited for. */
#define WAIT_CREDIT_LATE 4
#define WAIT_CREDIT_LEAST 4
#define WAIT_CREDIT_MAX 8

/* How long for the last request of a connection whose process stops. */
#define WAIT_LAST (20 * APR_TIME_C(1000))

/* Of a connection; in its conn_config. */
typedef struct {
    const server_rec *server; /* that answered last */
    int credit;
    int hits;                 /* in a row */
    int kept;                 /* the next request comes by a hit */
    apr_time_t answered_at;   /* where nobody waited for want of credit; else 0 */
} wait_conn_t;

static const ap_LINK_process_connection_t *wait_rest;
static int wait_rest_count;

/* The hooks that follow ours. Their order is fixed once children run. */
void linger_wait_child_init(apr_pool_t *pchild, server_rec *s)
{
    const apr_array_header_t *hooks = ap_hook_get_process_connection();
    int i;

    wait_rest_count = 0;
    for (i = 0; hooks && i < hooks->nelts; ++i) {
        const ap_LINK_process_connection_t *hook =
            &APR_ARRAY_IDX(hooks, i, ap_LINK_process_connection_t);

        if (hook->pFunc == linger_wait_process_connection) {
            wait_rest = hook + 1;
            wait_rest_count = hooks->nelts - i - 1;
        }
    }
}

static int wait_run_rest(conn_rec *c)
{
    int i, rc = DECLINED;

    for (i = 0; i < wait_rest_count && rc == DECLINED; ++i) {
        rc = wait_rest[i].pFunc(c);
    }
    return rc;
}

static void wait_credit(wait_conn_t *conn, int in_time)
{
    int credit = conn->credit + (in_time ? 1 : -WAIT_CREDIT_LATE);

    conn->credit = credit < 0 ? 0 : credit > WAIT_CREDIT_MAX ? WAIT_CREDIT_MAX : credit;
}

static wait_conn_t *wait_conn_of(conn_rec *c)
{
    wait_conn_t *conn = ap_get_module_config(c->conn_config, &usher_linger_module);

    if (!conn) {
        conn = apr_pcalloc(c->pool, sizeof(*conn));
        conn->server = c->base_server;
        ap_set_module_config(c->conn_config, &usher_linger_module, conn);
    }
    return conn;
}

/* The virtual host that a request named decides what its connection does next. */
int linger_wait_post_read_request(request_rec *r)
{
    wait_conn_t *conn = ap_get_module_config(r->connection->conn_config, &usher_linger_module);

    if (conn) {
        conn->server = r->server;
    }
    return DECLINED;
}

static int wait_is_stopping(void)
{
    int state = 0;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS || state == AP_MPMQ_STOPPING;
}

/* Whether the connection is done with an HTTP/1 request, kept, and has nothing of
 * the next one: else this is not our business. */
static int wait_is_kept(conn_rec *c)
{
    return c->cs->state == CONN_STATE_WRITE_COMPLETION && c->cs->sense == CONN_SENSE_DEFAULT
        && c->keepalive == AP_CONN_KEEPALIVE && !c->aborted && !c->data_in_input_filters
        && !c->clogging_input_filters
        && !strcmp(ap_get_protocol(c), "http/1.1");
}

/* As the MPM does next; then the client has what it waits for. */
static int wait_flush(conn_rec *c)
{
    ap_filter_t *last = c->output_filters;

    while (last->next) {
        last = last->next;
    }
    if (last->frec->filter_func.out_func(last, NULL) != APR_SUCCESS) {
        c->aborted = 1;
    }
    return !c->aborted && !c->data_in_output_filters;
}

static linger_outcome_e wait_poll(conn_rec *c, apr_interval_time_t time)
{
    struct pollfd fd = { -1, POLLIN | POLLRDHUP, 0 };
    apr_os_sock_t sock;

    if (apr_os_sock_get(&sock, ap_get_conn_socket(c)) != APR_SUCCESS) {
        return LINGER_MISS;
    }
    fd.fd = sock;
    ap_update_child_status(c->sbh, SERVER_BUSY_KEEPALIVE, NULL);
    if (poll(&fd, 1, (int)apr_time_as_msec(time)) <= 0) {
        return LINGER_MISS;
    }
    return fd.revents & (POLLRDHUP | POLLHUP | POLLERR) ? LINGER_CLOSED : LINGER_HIT;
}

/* One last wait, as the process stops. A client that closes may have asked before. */
static linger_outcome_e wait_last(conn_rec *c)
{
    linger_outcome_e outcome = wait_poll(c, WAIT_LAST);

    return outcome == LINGER_HIT ? LINGER_LAST : outcome;
}

/* Whether the thread waits, and what came of it. */
static linger_outcome_e wait_outcome(conn_rec *c, wait_conn_t *conn, const linger_conf_t *conf)
{
    linger_outcome_e outcome;

    if (!wait_flush(c)) {
        return LINGER_SKIP_OUTPUT;
    }
    if (wait_is_stopping()) {
        return wait_last(c);
    }
    if (conn->credit < WAIT_CREDIT_LEAST) {
        return LINGER_SKIP_LATE;
    }
    if (conf->hits_max && conn->hits >= conf->hits_max) {
        return LINGER_SKIP_CAP;
    }
    if (!linger_threads_may_wait(c->id)) {
        return LINGER_SKIP_THREADS;
    }
    outcome = wait_poll(c, conf->time);
    if (outcome == LINGER_MISS && wait_is_stopping()) {
        return wait_last(c);
    }
    return outcome == LINGER_HIT && wait_is_stopping() ? LINGER_LAST : outcome;
}

static void wait_for_next(conn_rec *c, wait_conn_t *conn, const linger_conf_t *conf)
{
    linger_outcome_e outcome = wait_outcome(c, conn, conf);

    linger_count(outcome, c->id);
    conn->kept = outcome == LINGER_HIT || outcome == LINGER_LAST || outcome == LINGER_CLOSED;
    conn->hits = conn->kept ? conn->hits + 1 : 0;
    if (conn->kept) {
        c->data_in_input_filters = 1;
        wait_credit(conn, 1);
    }
    else if (outcome == LINGER_MISS) {
        wait_credit(conn, 0);
    }
    else if (outcome == LINGER_SKIP_LATE) {
        conn->answered_at = apr_time_now();
    }
}

/* The next request came by the listener. In time for a thread that had waited? */
static void wait_note_arrival(wait_conn_t *conn, const linger_conf_t *conf)
{
    if (conn->answered_at) {
        wait_credit(conn, apr_time_now() - conn->answered_at < conf->time);
        conn->answered_at = 0;
    }
}

int linger_wait_process_connection(conn_rec *c)
{
    const linger_conf_t *conf;
    wait_conn_t *conn;
    int rc;

    if (!linger_conf_is_on || c->master || !c->cs) {
        return DECLINED;
    }
    conn = wait_conn_of(c);
    linger_threads_enter(!conn->kept);
    if (!conn->kept) {
        wait_note_arrival(conn, linger_conf_of(conn->server));
    }
    conn->kept = 0;
    rc = wait_run_rest(c);
    conf = linger_conf_of(conn->server);
    if (rc == OK && conf->on && wait_is_kept(c)) {
        wait_for_next(c, conn, conf);
    }
    linger_threads_leave();
    return rc;
}
