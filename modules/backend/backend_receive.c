/* The receiver of an attempt: the answer's head, interim ones before it; its
 * body is backend_relay.c's. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define IN_SIZE 8192
#define INTERIMS_MAX 10

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

static void receive_limits(const backend_exchange_t *x, usher_http1_limits_t *limits)
{
    const proxy_worker *worker = x->member.worker;

    limits->line_max = worker->s->response_field_size_set ? worker->s->response_field_size
                                                          : HUGE_STRING_LEN;
    limits->head_max = (apr_size_t)x->conf->head_max;
    limits->fields_max = (unsigned int)x->conf->fields_max;
    limits->badline = x->sconf->badopt == bad_ignore ? USHER_HTTP1_BADLINE_SKIP
                      : x->sconf->badopt == bad_body ? USHER_HTTP1_BADLINE_BODY
                                                     : USHER_HTTP1_BADLINE_REFUSE;
}

/* A final answer that comes while the request is still being sent. */
static void receive_early_answer(backend_exchange_t *x)
{
    if (x->sending >= BACKEND_SEND_DONE) {
        return;
    }
    x->link_close = 1;
    if (x->answer.status >= 400 || x->sending == BACKEND_SEND_AWAIT_100) {
        x->sending = BACKEND_SEND_STOPPED;
        x->client_at = 0;
        backend_exchange_drop_body(x);
    }
}

/* After an interim answer: the next one begins behind it. */
static backend_end_e receive_interim(backend_exchange_t *x)
{
    apr_size_t len = x->answer.len;
    backend_end_e end;

    if (++x->interims > INTERIMS_MAX) {
        return backend_attempt_malformed(x, "too many interim answers");
    }
    end = backend_answer_interim(x);
    if (x->answer.status == HTTP_CONTINUE && x->sending == BACKEND_SEND_AWAIT_100
        && x->out_at == x->out_len) {
        x->sending = BACKEND_SEND_BODY;
        x->out_at = x->out_len = 0;
    }
    memmove(x->in, x->in + len, x->in_len - len);
    x->in_len -= len;
    memset(&x->answer, 0, sizeof(x->answer));
    x->first_at = 0; /* the time of the final one is told */
    return end;
}

static backend_end_e receive_head(backend_exchange_t *x)
{
    usher_http1_limits_t limits;
    const char *why = "";
    backend_end_e end = BACKEND_END_NONE;

    receive_limits(x, &limits);
    while (end == BACKEND_END_NONE) {
        switch (usher_http1_head(&x->answer, x->in, x->in_len, &limits, &why)) {
        case USHER_PARSE_BAD:
            return backend_attempt_malformed(x, why);
        case USHER_PARSE_MORE:
            return BACKEND_END_NONE;
        case USHER_PARSE_DONE:
            break;
        }
        if (x->answer.status >= 200 || x->answer.status == HTTP_SWITCHING_PROTOCOLS) {
            receive_early_answer(x);
            x->receiving = BACKEND_RECV_BODY;
            end = backend_answer_final(x);
            memmove(x->in, x->in + x->answer.len, x->in_len - x->answer.len);
            x->in_len -= x->answer.len;
            if (x->picker->answered && end != BACKEND_END_MALFORMED) {
                x->picker->answered(x->picker, x->r, &x->member, x->answer.status);
            }
            x->readable = 1; /* the body may be right behind: look before a wait */
            return end;
        }
        end = receive_interim(x);
    }
    return end;
}

static backend_end_e receive_more(backend_exchange_t *x)
{
    apr_size_t n;
    int error = 0;

    if (!receive_in_room(x)) {
        return backend_attempt_malformed(x, "its head is too long");
    }
    switch (backend_link_recv(x->link, x->in + x->in_len, x->in_size - x->in_len, &n, &error)) {
    case BACKEND_IO_AGAIN:
        x->readable = 0;
        return x->sending == BACKEND_SEND_STOPPED && !x->in_len
                   ? backend_attempt_cut(x, "it closed the connection") : BACKEND_END_NONE;
    case BACKEND_IO_EOF:
        return backend_attempt_cut(x, x->in_len ? "it closed the connection within the answer's head"
                                        : "it closed the connection before it answered");
    case BACKEND_IO_FAILED:
        return backend_attempt_cut(x, apr_psprintf(x->r->pool, "the connection broke before the "
                                           "answer's head was there: %s", strerror(error)));
    default:
        break;
    }
    if (!x->first_at) {
        x->first_at = backend_now();
    }
    x->progress_at = 0;
    x->bytes_in += (apr_off_t)n;
    x->readable = n == x->in_size - x->in_len;
    x->in_len += n;
    return receive_head(x);
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

