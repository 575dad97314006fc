/* The sender of an attempt: what the protocol queues goes out in as few calls as
 * there are pieces, as far as the link takes them. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* After so many bytes the receiver has a turn: the backend may have answered. */
#define TURN_MAX 262144

backend_body_e backend_send_body(backend_exchange_t *x, apr_size_t max, backend_pieces_t *pieces,
                                 int *want)
{
    int status;
    backend_body_e found = backend_body_next(x, max, pieces, &status);

    if (found == BACKEND_BODY_WAIT) {
        backend_answer_ask_body(x);
        x->client_at = x->client_at ? x->client_at : backend_now();
        *want |= BACKEND_WANT_BODY;
        return found;
    }
    x->client_at = 0;
    if (found == BACKEND_BODY_FAILED) {
        x->status = status;
        if (x->state.who == '-') {
            x->state.who = 'C';
        }
        x->why = x->why ? x->why : "the client's body could not be read";
    }
    return found;
}

void backend_send_put(backend_exchange_t *x, const char *data, apr_size_t len)
{
    x->out[x->out_len].iov_base = (char *)data;
    x->out[x->out_len++].iov_len = len;
}

void backend_send_put_pieces(backend_exchange_t *x, const backend_pieces_t *pieces)
{
    memcpy(x->out + x->out_len, pieces->iov, pieces->len * sizeof(pieces->iov[0]));
    x->out_len += pieces->len;
    x->body_at += (apr_off_t)pieces->sum;
}

void backend_send_done(backend_exchange_t *x)
{
    x->sending = BACKEND_SEND_DONE;
    x->sent_at = backend_now();
}

static void send_sent(backend_exchange_t *x, apr_size_t n)
{
    /* A ping is nothing of the request. */
    x->something_sent = x->something_sent || (n && x->sending != BACKEND_SEND_AWAIT_PONG);
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
        if (x->sending == BACKEND_SEND_AWAIT_ASK) {
            /* While the backend reads that. */
            backend_body_ahead(x, backend_ajp_piece_max(x));
        }
    }
}

backend_end_e backend_send_step(backend_exchange_t *x, int *want)
{
    backend_end_e end;
    apr_size_t n, turn = 0;
    int error = 0;

    while (x->sending < BACKEND_SEND_DONE && turn < TURN_MAX) {
        if (x->out_at == x->out_len) {
            x->out_at = x->out_len = 0;
            if (backend_send_is_awaiting(x)) {
                return BACKEND_END_NONE;
            }
            end = x->protocol->queue(x, want);
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

