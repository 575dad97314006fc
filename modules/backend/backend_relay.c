/* The body of the answer, on its way from the link to the client. What is read
 * goes into buckets that own their memory and is not copied again; the protocol
 * takes its framing off in place. */
#include <netinet/in.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* Read in pieces that grow with what comes. */
#define PIECE_MIN 8192
#define PIECE_MAX 65536
/* And of a body of which so much has come, in larger ones. */
#define LARGE 1048576
#define PIECE_LARGE 131072

static apr_bucket_alloc_t *relay_alloc(const backend_exchange_t *x)
{
    return x->r->connection->bucket_alloc;
}

/* What was passed did not reach the client: it is gone, or a filter answers in
 * its own way (AP_FILTER_ERROR) and the answer is of no use any more. */
static backend_end_e relay_stopped(backend_exchange_t *x, apr_status_t rv)
{
    if (rv == AP_FILTER_ERROR && !x->r->connection->aborted) {
        x->why = "a filter refused the answer";
        x->state.who = 'P';
        return BACKEND_END_FILTERED;
    }
    x->why = "the client went away";
    x->state.who = 'C';
    x->client_gone = 1;
    return BACKEND_END_CLIENT;
}

static backend_end_e relay_pass(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    request_rec *r = x->r;
    apr_status_t rv;

    r->sent_bodyct = 1;
    x->passed = 1;
    rv = ap_pass_brigade(r->output_filters, bb);
    apr_brigade_cleanup(bb);
    /* An HTTP/2 stream may count as aborted as soon as it has its last byte. */
    return rv == APR_SUCCESS
           && (!r->connection->aborted || x->receiving == BACKEND_RECV_DONE)
               ? BACKEND_END_NONE : relay_stopped(x, rv);
}

static const char *relay_progress(const backend_exchange_t *x, const char *what)
{
    return x->answer.content_length >= 0 && x->ends != BACKEND_ENDS_CHUNKED
        ? apr_psprintf(x->r->pool, "%s: %" APR_OFF_T_FMT " of %" APR_OFF_T_FMT " bytes", what,
                       x->body_received, (apr_off_t)x->answer.content_length)
        : apr_psprintf(x->r->pool, "%s after %" APR_OFF_T_FMT " bytes", what, x->body_received);
}

backend_end_e backend_relay_malformed(backend_exchange_t *x, const char *why)
{
    x->why = relay_progress(x, apr_pstrcat(x->r->pool, "malformed answer: ", why, NULL));
    x->state.who = 'P';
    return BACKEND_END_MALFORMED;
}

backend_end_e backend_relay_too_long(backend_exchange_t *x)
{
    x->link_close = 1;
    x->why = apr_psprintf(x->r->pool, "malformed answer: more body than its Content-Length "
                          "of %" APR_OFF_T_FMT, (apr_off_t)x->answer.content_length);
    x->state.who = 'P';
    return BACKEND_END_MALFORMED;
}

backend_end_e backend_relay_too_short(backend_exchange_t *x, const char *why)
{
    x->why = relay_progress(x, why);
    x->state.who = 'S';
    return BACKEND_END_CUT;
}

/* The client's answer is over. */
static backend_end_e relay_end_client(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end;

    x->client_done = 1;
    backend_exchange_drop_body(x);
    if (!x->body.eos && x->r->connection->master) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(relay_alloc(x)));
        end = relay_pass(x, bb);
        if (end != BACKEND_END_NONE) {
            return end;
        }
        backend_body_discard(x);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(relay_alloc(x)));
    return relay_pass(x, bb);
}

/* The answer is whole. The link goes back first: the next request need not wait
 * until this client has taken all. */
static backend_end_e relay_finish(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end = BACKEND_END_NONE;

    backend_exchange_release(x, 1);
    x->receiving = BACKEND_RECV_DONE;
    if (!x->client_done) {
        end = relay_end_client(x, bb);
    }
    return end == BACKEND_END_NONE ? BACKEND_END_ANSWERED : end;
}

/* All that the client gets is there, only the packet that ends it is not (AJP): the
 * client need not wait for that. The last filters would hold an answer's end back until
 * the next request is awaited. */
static backend_end_e relay_whole(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end;

    if (x->client_done) {
        return BACKEND_END_NONE;
    }
    x->drop_body = !x->body.eos;
    x->client_at = 0;
    x->progress_at = 0;
    end = relay_end_client(x, bb);
    if (end == BACKEND_END_NONE) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(relay_alloc(x)));
        ap_pass_brigade(x->r->connection->output_filters, bb);
        apr_brigade_cleanup(bb);
    }
    return end;
}

void backend_relay_carry(backend_exchange_t *x, const char *rest, apr_size_t len)
{
    if (x->in_size < len) {
        x->in = apr_palloc(x->r->pool, len * 2);
        x->in_size = len * 2;
    }
    memcpy(x->in, rest, len);
    x->in_len = len;
}

/* Reading */

/* A read of the link that gave no bytes. */
static backend_end_e relay_no_bytes(backend_exchange_t *x, backend_io_e io, int error)
{
    if (io == BACKEND_IO_AGAIN) {
        x->readable = 0;
        return BACKEND_END_NONE;
    }
    if (io == BACKEND_IO_EOF && x->ends == BACKEND_ENDS_CLOSE) {
        x->receiving = BACKEND_RECV_DONE;
        return BACKEND_END_NONE;
    }
    if (x->whole) {
        /* Only the packet that says so is missing. */
        x->link_close = 1;
        x->receiving = BACKEND_RECV_DONE;
        return BACKEND_END_NONE;
    }
    return backend_relay_too_short(x, io == BACKEND_IO_EOF
                ? "it closed the connection within the answer"
                : apr_psprintf(x->r->pool, "the connection broke within the answer (%s)",
                               backend_tls_strerror(x->link, error, x->r->pool)));
}

static apr_size_t relay_piece_max(const backend_exchange_t *x)
{
    return x->body_received < LARGE ? PIECE_MAX : PIECE_LARGE;
}

/* So much is read, framing too, before the client gets it, as long as more is there. */
static apr_off_t relay_batch(const backend_exchange_t *x)
{
    return 2 * (apr_off_t)relay_piece_max(x);
}

/* Of what is to be read, with what is there. */
static apr_size_t relay_piece_size(const backend_exchange_t *x)
{
    apr_off_t size = x->answer.content_length >= 0 && x->ends != BACKEND_ENDS_CHUNKED
                         ? x->answer.content_length - x->body_received : x->body_received;
    apr_size_t gap = backend_splice_gap(x);

    if (x->in_fresh) {
        return x->in_len; /* nothing is read */
    }
    if (gap) {
        return x->in_len + gap;
    }
    size += x->ends == BACKEND_ENDS_PACKET ? PIECE_MIN : 0; /* frames, and its end */
    size = size < PIECE_MIN ? PIECE_MIN : size;
    size = size > (apr_off_t)relay_piece_max(x) ? (apr_off_t)relay_piece_max(x) : size;
    return x->in_len + (apr_size_t)size;
}

/* One piece into bb: what came with the head, or a read, with what the one before
 * left over. */
static backend_end_e relay_piece(backend_exchange_t *x, apr_bucket_brigade *bb, apr_size_t *len)
{
    apr_size_t size = relay_piece_size(x), carried = x->in_len, n = 0;
    char *buf = apr_bucket_alloc(size, relay_alloc(x));
    backend_io_e io = BACKEND_IO_DONE;
    backend_end_e end;
    int error = 0;

    if (carried) {
        memcpy(buf, x->in, carried);
    }
    if (!x->in_fresh) {
        io = backend_link_recv(x->link, buf + carried, size - carried, &n, &error);
        x->readable = x->readable && backend_link_has_more(x->link, size - carried, n);
        x->bytes_in += (apr_off_t)n;
        x->progress_at = n ? 0 : x->progress_at;
    }
    *len = carried + n;
    if (io == BACKEND_IO_DONE) {
        x->in_fresh = 0;
        x->in_len = 0;
        end = x->protocol->body(x, buf, len);
    }
    else {
        end = relay_no_bytes(x, io, error);
        *len = 0;
    }
    if (!*len || x->dropping) {
        apr_bucket_free(buf);
    }
    else {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create(buf, *len, apr_bucket_free,
                                                           relay_alloc(x)));
    }
    return end;
}

/* Gather what is there into bb, a batch at most, as long as it need come up here. */
static backend_end_e relay_gather(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end = BACKEND_END_NONE;
    apr_off_t until = x->bytes_in + relay_batch(x);
    apr_size_t len;

    while (end == BACKEND_END_NONE && x->receiving < BACKEND_RECV_DONE && x->bytes_in < until
           && (x->in_fresh || x->readable) && !backend_splice_fits(x)) {
        end = relay_piece(x, bb, &len);
    }
    return end;
}

/* From socket to socket. */
static backend_end_e relay_splice(backend_exchange_t *x)
{
    apr_status_t rv;
    int error = 0;
    backend_io_e io = backend_splice(x, &error, &rv);

    return rv != APR_SUCCESS ? relay_stopped(x, rv)
           : io == BACKEND_IO_DONE ? BACKEND_END_NONE : relay_no_bytes(x, io, error);
}

/* httpd's own page takes the answer's place. Its body is read all the same, if
 * it is short, so that the link can be kept. */
static backend_end_e relay_drop(backend_exchange_t *x, backend_end_e end)
{
    if (end == BACKEND_END_NONE && x->receiving != BACKEND_RECV_DONE
        && x->bytes_in < x->drop_until) {
        return BACKEND_END_NONE;
    }
    backend_exchange_release(x, end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_DONE);
    x->state.who = '-'; /* whatever became of the rest */
    x->why = NULL;
    return BACKEND_END_OVERRIDE;
}

backend_end_e backend_relay_step(backend_exchange_t *x)
{
    apr_bucket_brigade *bb = x->relay_bb;
    backend_end_e end, passed;
    int flush;

    if (x->passed && !x->unflushed && x->readable && backend_splice_fits(x)) {
        return relay_splice(x);
    }
    end = relay_gather(x, bb);
    if (x->dropping) {
        return relay_drop(x, end);
    }
    x->unflushed = x->unflushed || !APR_BRIGADE_EMPTY(bb);
    /* What is there goes out before more is waited for, or goes another way. */
    flush = !x->readable || backend_splice_fits(x);
    if (end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_DONE) {
        end = relay_finish(x, bb);
    }
    else if (x->whole) {
        /* Whatever comes instead of its end, only the link is of no use any more. */
        passed = relay_whole(x, bb);
        end = passed == BACKEND_END_NONE && end != BACKEND_END_NONE ? BACKEND_END_ANSWERED : passed;
    }
    else if (!APR_BRIGADE_EMPTY(bb) || (flush && (x->unflushed || !x->passed))) {
        if (flush) {
            APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(relay_alloc(x)));
            x->unflushed = 0;
        }
        /* Before a failure nothing need be begun. */
        passed = end != BACKEND_END_NONE && !x->passed ? BACKEND_END_NONE : relay_pass(x, bb);
        end = end != BACKEND_END_NONE ? end : passed;
    }
    apr_brigade_cleanup(bb);
    return end;
}

/* Whether the client can tell the answer's end from a connection that was
 * closed: by its length or its chunks. */
static int relay_end_is_marked(const request_rec *r)
{
    return r->connection->master
           || (r->proto_num >= HTTP_VERSION(1, 1)
               && (r->chunked || apr_table_get(r->headers_out, "Content-Length")));
}

/* Close with a reset: the only sign there is without length and chunks. */
static void relay_reset_client(conn_rec *c)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t fd;

    if (socket && apr_os_sock_get(&fd, socket) == APR_SUCCESS) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    c->keepalive = AP_CONN_CLOSE;
    c->aborted = 1; /* no lingering close, no farewell of TLS */
}

void backend_relay_break(backend_exchange_t *x)
{
    request_rec *r = x->r;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, relay_alloc(x));

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(relay_alloc(x)));
    ap_proxy_backend_broke(r, bb);
    ap_pass_brigade(r->output_filters, bb);
    if (!relay_end_is_marked(r)) {
        relay_reset_client(r->connection);
    }
    apr_brigade_destroy(bb);
}
