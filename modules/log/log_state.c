/* Who ended a request, and when: the first two of HAProxy's letters by what the backend handler
 * says, else by what httpd shows of it; the other two by what the cluster says of its session. */
#include <errno.h>
#include <sys/socket.h>

#include <apr_portable.h>
#include <ap_mpm.h>
#include <http_ssl.h>

#include "log_private.h"

APLOG_USE_MODULE(usher_log);

static void state_set(log_facts_t *facts, char who, char phase)
{
    facts->state[0] = who;
    facts->state[1] = phase;
}

/* Whether the client went away while it was sent the answer. Of a stream of HTTP/2 that is not
 * known: mod_http2 marks good ones as aborted, too, and their connection may have ended since. */
static int state_is_aborted(const conn_rec *c)
{
    return !c->master && c->aborted;
}

/* Within TLS, which may have been ended in good order before the connection is. */
static int state_tls_has_ended(conn_rec *c)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);

    apr_brigade_destroy(bb);
    return rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv) && !APR_STATUS_IS_TIMEUP(rv);
}

int log_state_client_is_gone(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t fd;
    ssize_t got;
    char byte;

    if (c->master) {
        return c->master->aborted != 0;
    }
    if (c->aborted || !socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS) {
        return c->aborted != 0;
    }
    got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (!got || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        return 1;
    }
    return ap_ssl_conn_is_ssl(c) && state_tls_has_ended(c);
}

/* Whether httpd has closed the client's socket because it stops. */
static int state_is_stopped(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c->master ? c->master : c);
    apr_os_sock_t fd = -1;
    int mpm = AP_MPMQ_RUNNING;

    return (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS || fd < 0)
           && ap_mpm_query(AP_MPMQ_MPM_STATE, &mpm) == APR_SUCCESS && mpm == AP_MPMQ_STOPPING;
}

/* httpd has an answer of its own, which is an error. */
static int state_is_refused(const log_facts_t *facts)
{
    return facts->last->status >= HTTP_BAD_REQUEST
           && (facts->record->refused || facts->last != facts->first);
}

/* The head was not read to its end. Where httpd found fault with a line of it, it says so in the
 * note; a line that it could not read has no protocol. */
static void state_of_head(log_facts_t *facts)
{
    request_rec *r = facts->first;

    if (facts->last->status == HTTP_REQUEST_TIME_OUT) {
        state_set(facts, 'c', 'R');
    }
    else if (facts->last->status == HTTP_BAD_REQUEST && r->method_number != M_INVALID
             && !apr_table_get(r->notes, "error-notes") && facts->record->client_gone) {
        state_set(facts, 'C', 'R');
    }
    else {
        state_set(facts, 'P', 'R');
    }
}

/* A handler of httpd's own has carried it to a backend: what its errors stand for there. */
static void state_of_stock(log_facts_t *facts)
{
    int status = facts->last->status;

    if (state_is_aborted(facts->first->connection)) {
        state_set(facts, 'C', facts->last->bytes_sent ? 'D' : 'H');
    }
    else if (!state_is_refused(facts)) {
        state_set(facts, '-', '-');
    }
    else if (status == HTTP_SERVICE_UNAVAILABLE) {
        state_set(facts, 'S', 'C');
    }
    else if (status == HTTP_BAD_GATEWAY) {
        state_set(facts, 'S', 'H');
    }
    else if (status == HTTP_GATEWAY_TIME_OUT) {
        state_set(facts, 's', 'H');
    }
    else if (status == HTTP_REQUEST_TIME_OUT) {
        state_set(facts, 'c', 'H');
    }
    else if (status == HTTP_BAD_REQUEST && facts->record->client_gone) {
        state_set(facts, 'C', 'H');
    }
    else {
        state_set(facts, 'P', 'R');
    }
}

/* It may not be, and mod_ssl has ended the connection when a certificate that is required
 * for this place alone was not good: the client had no part in that. */
static int state_is_forbidden(const log_facts_t *facts)
{
    return facts->last->status == HTTP_FORBIDDEN && facts->record->refused;
}

/* httpd's own content */
static void state_of_local(log_facts_t *facts)
{
    if (state_is_aborted(facts->first->connection)) {
        state_set(facts, 'C', 'D');
    }
    else if (!state_is_refused(facts)) {
        state_set(facts, 'L', 'R');
    }
    else if (facts->last->status == HTTP_REQUEST_TIME_OUT) {
        state_set(facts, 'c', 'D');
    }
    else {
        state_set(facts, 'P', 'R');
    }
}

/* Where httpd stops before a request is over, it looks as if the client were gone, or the answer
 * is taken for sent. */
static void state_of_stop(log_facts_t *facts)
{
    char who = facts->state[0];

    if ((who != 'C' && who != '-' && who != 'L') || !state_is_stopped(facts->first->connection)) {
        return;
    }
    facts->state[0] = 'P';
    if (who != 'C') {
        facts->state[1] = 'D';
    }
}

void log_state_fill(log_facts_t *facts)
{
    facts->state[2] = facts->state[3] = '-';
    if (facts->balanced) {
        facts->state[2] = facts->balancer.session;
        facts->state[3] = facts->balancer.cookie;
    }
    if (facts->backend_r) {
        state_set(facts, facts->backend.who, facts->backend.phase);
        /* The handler was done, and the client did not take the rest. */
        if (facts->backend.who == '-' && state_is_aborted(facts->first->connection)) {
            state_set(facts, 'C', 'D');
        }
    }
    else if (!facts->record->read_at) {
        state_of_head(facts);
    }
    else if (state_is_forbidden(facts)) {
        state_set(facts, 'P', 'R');
    }
    else if (facts->proxied) {
        state_of_stock(facts);
    }
    else {
        state_of_local(facts);
    }
    state_of_stop(facts);
}
