/* The receiver of an attempt, up to the answer's head, which the protocol
 * understands; the body is backend_relay.c's. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define IN_SIZE 8192

static int receive_in_room(backend_exchange_t *x)
{
    apr_size_t most = (apr_size_t)x->conf->head_max + IN_SIZE, size;
    char *in;

    if (x->in_len < x->in_size) {
        return 1;
    }
    if (x->in_size >= most) {
        return 0;
    }
    size = x->in_size ? x->in_size * 2 : IN_SIZE;
    in = apr_palloc(x->r->pool, size);
    if (x->in_len) {
        memcpy(in, x->in, x->in_len);
    }
    x->in = in;
    x->in_size = size;
    return 1;
}

void backend_receive_used(backend_exchange_t *x, apr_size_t len)
{
    memmove(x->in, x->in + len, x->in_len - len);
    x->in_len -= len;
}

static apr_interval_time_t receive_waited(const backend_exchange_t *x)
{
    apr_time_t from = x->sent_at ? x->sent_at : x->connected_at;

    return x->first_at > from ? x->first_at - from : 0;
}

backend_end_e backend_receive_final(backend_exchange_t *x)
{
    backend_end_e end;

    x->receiving = BACKEND_RECV_BODY;
    end = backend_answer_final(x);
    backend_receive_used(x, x->answer.len);
    x->in_fresh = x->in_len > 0;
    /* Before the answer's head is passed on, and not for one that nobody gets. */
    if (x->drop_body && (end == BACKEND_END_NONE || end == BACKEND_END_OVERRIDE)) {
        backend_exchange_drop_body(x);
    }
    if (x->picker->answered && end != BACKEND_END_MALFORMED) {
        x->picker->answered(x->picker, x->r, &x->member, x->answer.status, receive_waited(x));
    }
    x->readable = 1; /* the body may be right behind: look before a wait */
    return end;
}

/* What is there; once it may be a moment till it is: backend_attempt.c decides that. */
static backend_io_e receive_bytes(backend_exchange_t *x, apr_size_t *n, int *error)
{
    char *to = x->in + x->in_len;
    apr_size_t size = x->in_size - x->in_len;

    if (!x->awaits) {
        return backend_link_recv(x->link, to, size, n, error);
    }
    x->awaits = 0;
    x->awaited = 1; /* a head that trickles in must not hide what the client does */
    return backend_link_await(x->link, to, size, n, error);
}

static backend_end_e receive_more(backend_exchange_t *x)
{
    apr_size_t n = 0;
    int error = 0;

    if (!receive_in_room(x)) {
        return backend_attempt_malformed(x, "its head is too long");
    }
    switch (receive_bytes(x, &n, &error)) {
    case BACKEND_IO_AGAIN:
        x->readable = 0;
        return x->sending == BACKEND_SEND_STOPPED && !x->in_len
                   ? backend_attempt_cut(x, "it closed the connection") : BACKEND_END_NONE;
    case BACKEND_IO_EOF:
        return backend_attempt_cut(x, x->in_len ? "it closed the connection within the answer's head"
                                        : "it closed the connection before it answered");
    case BACKEND_IO_FAILED:
        return backend_attempt_cut(x, apr_psprintf(x->r->pool, "the connection broke before the "
                                           "answer's head was there: %s",
                                           backend_tls_strerror(x->link, error, x->r->pool)));
    default:
        break;
    }
    if (!x->first_at) {
        x->first_at = backend_now();
    }
    x->progress_at = 0;
    x->bytes_in += (apr_off_t)n;
    x->readable = backend_link_has_more(x->link, x->in_size - x->in_len, n);
    x->in_len += n;
    return x->protocol->answer(x);
}

backend_end_e backend_receive_step(backend_exchange_t *x, int *want)
{
    backend_end_e end = BACKEND_END_NONE;

    while (end == BACKEND_END_NONE && x->readable && x->receiving == BACKEND_RECV_HEAD) {
        end = receive_more(x);
    }
    if (end == BACKEND_END_NONE && x->receiving > BACKEND_RECV_HEAD) {
        end = backend_relay_step(x);
    }
    *want |= BACKEND_WANT_LINK_IN;
    return end;
}

