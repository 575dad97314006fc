/* The body of the answer, on its way from the link to the client. What is read
 * goes into buckets that own their memory and is not copied again; chunks are
 * taken off in place. */
#include <netinet/in.h>


#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* Read in pieces that grow with what comes. */
#define PIECE_MIN 8192
#define PIECE_MAX 65536
/* So much is read before the client gets it, as long as more is there. */
#define BATCH 131072

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
    return x->ends == BACKEND_ENDS_LENGTH
        ? apr_psprintf(x->r->pool, "%s: %" APR_OFF_T_FMT " of %" APR_OFF_T_FMT " bytes", what,
                       x->body_received, (apr_off_t)x->answer.content_length)
        : apr_psprintf(x->r->pool, "%s after %" APR_OFF_T_FMT " bytes", what, x->body_received);
}

static backend_end_e relay_malformed(backend_exchange_t *x, const char *why)
{
    x->why = relay_progress(x, apr_pstrcat(x->r->pool, "malformed answer: ", why, NULL));
    x->state.who = 'P';
    return BACKEND_END_MALFORMED;
}

/* The answer is whole. The link goes back first: the next request need not wait
 * until this client has taken all. */
static backend_end_e relay_finish(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end;

    backend_exchange_drop_body(x);
    backend_exchange_release(x, 1);
    x->receiving = BACKEND_RECV_DONE;
    if (!x->body.eos && x->r->connection->master) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(relay_alloc(x)));
        end = relay_pass(x, bb);
        if (end != BACKEND_END_NONE) {
            return end;
        }
        backend_body_discard(x);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(relay_alloc(x)));
    end = relay_pass(x, bb);
    return end == BACKEND_END_NONE ? BACKEND_END_ANSWERED : end;
}

/* Understanding the body */

/* What follows the last chunk is kept for the trailers. */
static void relay_keep_rest(backend_exchange_t *x, const char *rest, apr_size_t len)
{
    apr_size_t most = (apr_size_t)x->conf->head_max + PIECE_MAX;

    if (x->in_size < most) {
        x->in = apr_palloc(x->r->pool, most);
        x->in_size = most;
    }
    memcpy(x->in, rest, len);
    x->in_len = len;
}

static backend_end_e relay_dechunk(backend_exchange_t *x, char *buf, apr_size_t *len)
{
    apr_size_t at = 0, out = 0, used, n;
    usher_parse_e state;
    const char *data, *why = "";

    do {
        state = usher_http1_chunks(&x->chunks, buf + at, *len - at, &used, &data, &n, &why);
        if (n) {
            memmove(buf + out, data, n);
            out += n;
        }
        at += used;
    } while (state == USHER_PARSE_MORE && used);
    x->body_received += (apr_off_t)out;
    if (state == USHER_PARSE_BAD) {
        return relay_malformed(x, why);
    }
    if (state == USHER_PARSE_DONE) {
        relay_keep_rest(x, buf + at, *len - at);
        x->receiving = BACKEND_RECV_TRAILERS;
    }
    *len = out;
    return BACKEND_END_NONE;
}

/* Bytes of the link in buf: leaves there what belongs to the body. */
static backend_end_e relay_understand(backend_exchange_t *x, char *buf, apr_size_t *len)
{
    apr_off_t left;

    if (x->ends == BACKEND_ENDS_CHUNKED) {
        return relay_dechunk(x, buf, len);
    }
    left = x->answer.content_length - x->body_received;
    if (x->ends == BACKEND_ENDS_LENGTH && (apr_off_t)*len > left) {
        x->link_close = 1;
        x->why = apr_psprintf(x->r->pool, "malformed answer: more body than its Content-Length "
                              "of %" APR_OFF_T_FMT, (apr_off_t)x->answer.content_length);
        x->state.who = 'P';
        return BACKEND_END_MALFORMED;
    }
    x->body_received += (apr_off_t)*len;
    if (x->ends == BACKEND_ENDS_LENGTH && x->body_received == x->answer.content_length) {
        x->receiving = BACKEND_RECV_DONE;
    }
    return BACKEND_END_NONE;
}

static backend_end_e relay_trailers(backend_exchange_t *x)
{
    usher_http1_limits_t limits = {
        .line_max = HUGE_STRING_LEN, .head_max = (apr_size_t)x->conf->head_max,
        .fields_max = (unsigned int)x->conf->fields_max,
    };
    unsigned int fields;
    const char *why = "";
    apr_size_t used;

    switch (usher_http1_trailers(x->in, x->in_len, &limits, &used, &fields, &why)) {
    case USHER_PARSE_BAD:
        return relay_malformed(x, why);
    case USHER_PARSE_MORE:
        return BACKEND_END_NONE;
    default:
        backend_answer_trailers(x, x->in, used);
        x->receiving = BACKEND_RECV_DONE;
        x->in_len -= used;
        if (x->in_len) {
            return relay_malformed(x, "bytes after its end");
        }
        return BACKEND_END_NONE;
    }
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
    x->state.who = 'S';
    x->why = relay_progress(x, io == BACKEND_IO_EOF ? "it closed the connection within the answer"
                : apr_psprintf(x->r->pool, "the connection broke within the answer (%s)",
                               strerror(error)));
    return BACKEND_END_CUT;
}

static backend_end_e relay_read_trailers(backend_exchange_t *x)
{
    backend_io_e io;
    apr_size_t n;
    int error = 0;

    if (x->in_len == x->in_size) {
        return relay_malformed(x, "its trailers are too long");
    }
    io = backend_link_recv(x->link, x->in + x->in_len, x->in_size - x->in_len, &n, &error);
    if (io != BACKEND_IO_DONE) {
        return relay_no_bytes(x, io, error);
    }
    x->in_len += n;
    x->bytes_in += (apr_off_t)n;
    x->progress_at = 0;
    return relay_trailers(x);
}

static apr_size_t relay_piece_size(const backend_exchange_t *x)
{
    apr_off_t size = x->body_received < PIECE_MIN ? PIECE_MIN : x->body_received;

    if (x->ends == BACKEND_ENDS_LENGTH) {
        size = x->answer.content_length - x->body_received;
        size = size < PIECE_MIN ? PIECE_MIN : size;
    }
    return size > PIECE_MAX ? PIECE_MAX : (apr_size_t)size;
}

/* One piece into bb: what came with the head, or a read. */
static backend_end_e relay_piece(backend_exchange_t *x, apr_bucket_brigade *bb, apr_size_t *len)
{
    apr_size_t size = x->in_len ? x->in_len : relay_piece_size(x);
    char *buf = apr_bucket_alloc(size, relay_alloc(x));
    backend_io_e io = BACKEND_IO_DONE;
    backend_end_e end;
    int error = 0;

    if (x->in_len) {
        memcpy(buf, x->in, x->in_len);
        *len = x->in_len;
        x->in_len = 0;
    }
    else {
        io = backend_link_recv(x->link, buf, size, len, &error);
        x->readable = x->readable && *len == size;
        x->bytes_in += (apr_off_t)*len;
        x->progress_at = *len ? 0 : x->progress_at;
    }
    end = io == BACKEND_IO_DONE ? relay_understand(x, buf, len) : relay_no_bytes(x, io, error);
    if (end != BACKEND_END_NONE || !*len) {
        apr_bucket_free(buf);
        *len = 0;
    }
    else {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create(buf, *len, apr_bucket_free,
                                                           relay_alloc(x)));
    }
    return end;
}

/* Gather what is there into bb, a batch at most. */
static backend_end_e relay_gather(backend_exchange_t *x, apr_bucket_brigade *bb)
{
    backend_end_e end = BACKEND_END_NONE;
    apr_size_t len, all = 0;

    while (end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_BODY && all < BATCH
           && (x->in_len || x->readable)) {
        end = relay_piece(x, bb, &len);
        all += len;
    }
    if (end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_TRAILERS) {
        end = relay_trailers(x);
        while (end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_TRAILERS && x->readable) {
            end = relay_read_trailers(x);
        }
    }
    return end;
}

backend_end_e backend_relay_step(backend_exchange_t *x)
{
    apr_bucket_brigade *bb = x->relay_bb;
    backend_end_e end = relay_gather(x, bb);

    x->unflushed = x->unflushed || !APR_BRIGADE_EMPTY(bb);
    if (end == BACKEND_END_NONE && x->receiving == BACKEND_RECV_DONE) {
        end = relay_finish(x, bb);
    }
    else if (!APR_BRIGADE_EMPTY(bb) || (!x->readable && (x->unflushed || !x->passed))) {
        backend_end_e passed;

        /* What is there goes out before more is waited for. */
        if (!x->readable) {
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
