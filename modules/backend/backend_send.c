/* The sender of an attempt: head and body of the request go out in as few calls
 * as there are pieces, as far as the link takes them. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* After so many bytes the receiver has a turn: the backend may have answered. */
#define TURN_MAX 262144

/* The line of a chunk's size; the one before it ends with it, too. */
static void send_queue_chunk_line(backend_exchange_t *x, apr_size_t size)
{
    struct iovec *line = &x->out[x->out_len++];

    line->iov_base = x->chunk_line;
    line->iov_len = (apr_size_t)apr_snprintf(x->chunk_line, sizeof(x->chunk_line),
        size ? "%s%" APR_UINT64_T_HEX_FMT CRLF : "%s%" APR_UINT64_T_HEX_FMT CRLF CRLF,
        x->body_at ? CRLF : "", (apr_uint64_t)size);
}

/* Put some of the body behind what is in out[]. */
static backend_end_e send_queue_body(backend_exchange_t *x, int *want)
{
    backend_pieces_t pieces;
    int status;

    switch (backend_body_next(x, &pieces, &status)) {
    case BACKEND_BODY_DATA:
        x->client_at = 0;
        if (x->body.framing == BACKEND_BODY_CHUNKED) {
            send_queue_chunk_line(x, pieces.sum);
        }
        memcpy(x->out + x->out_len, pieces.iov, pieces.len * sizeof(pieces.iov[0]));
        x->out_len += pieces.len;
        x->body_at += (apr_off_t)pieces.sum;
        return BACKEND_END_NONE;
    case BACKEND_BODY_WAIT:
        backend_answer_ask_body(x);
        x->client_at = x->client_at ? x->client_at : backend_now();
        *want |= BACKEND_WANT_BODY;
        return BACKEND_END_NONE;
    case BACKEND_BODY_END:
        x->client_at = 0;
        x->last_chunk = 1;
        if (x->body.framing == BACKEND_BODY_CHUNKED) {
            send_queue_chunk_line(x, 0);
        }
        return BACKEND_END_NONE;
    default:
        x->status = status;
        if (x->state.who != 'c') {
            x->state.who = 'C';
        }
        x->why = x->why ? x->why : "the client's body could not be read";
        return BACKEND_END_CLIENT;
    }
}

/* Fill out[]. Nothing in it afterwards: all is sent, or something is wanted. */
static backend_end_e send_queue(backend_exchange_t *x, int *want)
{
    x->out_at = x->out_len = 0;
    if (x->sending == BACKEND_SEND_HEAD) {
        x->out[0].iov_base = x->head;
        x->out[0].iov_len = x->head_len;
        x->out_len = 1;
        x->sending = x->body.framing == BACKEND_BODY_NONE ? BACKEND_SEND_BODY
                     : x->expects_100 ? BACKEND_SEND_AWAIT_100 : BACKEND_SEND_BODY;
        x->last_chunk = x->body.framing == BACKEND_BODY_NONE;
        if (x->sending == BACKEND_SEND_AWAIT_100 || x->last_chunk) {
            return BACKEND_END_NONE;
        }
    }
    if (x->sending != BACKEND_SEND_BODY) {
        return BACKEND_END_NONE;
    }
    if (x->last_chunk) {
        x->sending = BACKEND_SEND_DONE;
        x->sent_at = backend_now();
        return BACKEND_END_NONE;
    }
    return send_queue_body(x, want);
}

static void send_sent(backend_exchange_t *x, apr_size_t n)
{
    x->something_sent = x->something_sent || n;
    x->bytes_out += (apr_off_t)n;
    while (x->out_at < x->out_len && n >= x->out[x->out_at].iov_len) {
        n -= x->out[x->out_at++].iov_len;
    }
    if (x->out_at < x->out_len) {
        x->out[x->out_at].iov_base = (char *)x->out[x->out_at].iov_base + n;
        x->out[x->out_at].iov_len -= n;
    }
    else {
        backend_body_sent(x);
    }
}

backend_end_e backend_send_step(backend_exchange_t *x, int *want)
{
    backend_end_e end;
    apr_size_t n, turn = 0;
    int error = 0;

    while (x->sending < BACKEND_SEND_DONE && turn < TURN_MAX) {
        if (x->out_at == x->out_len) {
            if (x->sending == BACKEND_SEND_AWAIT_100) {
                return BACKEND_END_NONE;
            }
            end = send_queue(x, want);
            if (end != BACKEND_END_NONE) {
                return end;
            }
            if (!x->out_len) {
                if (*want & BACKEND_WANT_BODY) {
                    return BACKEND_END_NONE;
                }
                continue;
            }
        }
        switch (backend_link_send(x->link, x->out + x->out_at, x->out_len - x->out_at,
                                  &n, &error)) {
        case BACKEND_IO_DONE:
            send_sent(x, n);
            turn += n;
            x->progress_at = 0; /* now: see backend_attempt.c */
            break;
        case BACKEND_IO_AGAIN:
            *want |= BACKEND_WANT_LINK_OUT;
            return BACKEND_END_NONE;
        default:
            /* It may have answered before it closed. */
            x->sending = BACKEND_SEND_STOPPED;
            x->link_close = 1;
            x->readable = 1;
            x->client_at = 0;
        }
    }
    if (x->sending < BACKEND_SEND_DONE) {
        *want |= BACKEND_WANT_LINK_OUT;
    }
    return BACKEND_END_NONE;
}

