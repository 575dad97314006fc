/* HTTP/1 on a link (RFC 9112): the framing of the request's body, the answer's head
 * and what frames its body. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define INTERIMS_MAX 10

/* Sending */

/* The line of a chunk's size; the one before it ends with it, too. */
static void http_put_chunk_line(backend_exchange_t *x, apr_size_t size)
{
    backend_send_put(x, x->frame, (apr_size_t)apr_snprintf(x->frame, sizeof(x->frame),
        size ? "%s%" APR_UINT64_T_HEX_FMT CRLF : "%s%" APR_UINT64_T_HEX_FMT CRLF CRLF,
        x->body_at ? CRLF : "", (apr_uint64_t)size));
}

/* Put some of the body behind what is in out[]. */
static backend_end_e http_queue_body(backend_exchange_t *x, int *want)
{
    int chunked = x->body.framing == BACKEND_BODY_CHUNKED;
    backend_pieces_t pieces;

    switch (backend_send_body(x, APR_SIZE_MAX, &pieces, want)) {
    case BACKEND_BODY_DATA:
        if (chunked) {
            http_put_chunk_line(x, pieces.sum);
        }
        backend_send_put_pieces(x, &pieces);
        return BACKEND_END_NONE;
    case BACKEND_BODY_WAIT:
        return BACKEND_END_NONE;
    case BACKEND_BODY_END:
        x->body_ended = 1;
        if (chunked) {
            http_put_chunk_line(x, 0);
        }
        return BACKEND_END_NONE;
    default:
        return BACKEND_END_CLIENT;
    }
}

static backend_end_e http_queue(backend_exchange_t *x, int *want)
{
    if (x->sending == BACKEND_SEND_HEAD) {
        backend_send_put(x, x->head, x->head_len);
        x->body_ended = x->body.framing == BACKEND_BODY_NONE;
        x->sending = !x->body_ended && x->expects_100 ? BACKEND_SEND_AWAIT_100
                                                      : BACKEND_SEND_BODY;
        if (x->sending == BACKEND_SEND_AWAIT_100 || x->body_ended) {
            return BACKEND_END_NONE;
        }
    }
    if (x->body_ended) {
        backend_send_done(x);
        return BACKEND_END_NONE;
    }
    return http_queue_body(x, want);
}

/* Receiving */

static void http_limits(const backend_exchange_t *x, usher_http1_limits_t *limits)
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
static void http_early_answer(backend_exchange_t *x)
{
    if (x->sending >= BACKEND_SEND_DONE) {
        return;
    }
    x->link_close = 1;
    if (x->answer.status >= 400 || x->sending == BACKEND_SEND_AWAIT_100) {
        x->sending = BACKEND_SEND_STOPPED;
        x->client_at = 0;
        x->drop_body = 1;
    }
}

/* After an interim answer: the next one begins behind it. */
static backend_end_e http_interim(backend_exchange_t *x)
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
    backend_receive_used(x, len);
    memset(&x->answer, 0, sizeof(x->answer));
    x->first_at = 0; /* the time of the final one is told */
    return end;
}

static backend_end_e http_answer(backend_exchange_t *x)
{
    usher_http1_limits_t limits;
    const char *why = "";
    backend_end_e end = BACKEND_END_NONE;

    http_limits(x, &limits);
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
            http_early_answer(x);
            return backend_receive_final(x);
        }
        end = http_interim(x);
    }
    return end;
}

static int http_next_field(const backend_exchange_t *x, char *head, apr_size_t *at,
                           const char **name, const char **value)
{
    usher_http1_field_t field;

    /* In what came: in the copy the ends of lines are overwritten. */
    if (!usher_http1_next_field(x->in, x->answer.len, at, &field)) {
        return 0;
    }
    *name = head + (field.name - x->in);
    *value = head + (field.value - x->in);
    head[field.name - x->in + (apr_ssize_t)field.name_len] = '\0';
    head[field.value - x->in + (apr_ssize_t)field.value_len] = '\0';
    return 1;
}

/* The answer's body */

/* Trailers: those in buf are all that came so far. */
static backend_end_e http_trailers(backend_exchange_t *x, char *buf, apr_size_t len)
{
    usher_http1_limits_t limits = {
        .line_max = HUGE_STRING_LEN, .head_max = (apr_size_t)x->conf->head_max,
        .fields_max = (unsigned int)x->conf->fields_max,
    };
    unsigned int fields;
    const char *why = "";
    apr_size_t used;

    switch (usher_http1_trailers(buf, len, &limits, &used, &fields, &why)) {
    case USHER_PARSE_BAD:
        return backend_relay_malformed(x, why);
    case USHER_PARSE_MORE:
        backend_relay_carry(x, buf, len);
        return BACKEND_END_NONE;
    default:
        backend_answer_trailers(x, buf, used);
        x->receiving = BACKEND_RECV_DONE;
        return used < len ? backend_relay_malformed(x, "bytes after its end") : BACKEND_END_NONE;
    }
}

/* The framing is taken off in place. */
static backend_end_e http_dechunk(backend_exchange_t *x, char *buf, apr_size_t *len)
{
    apr_size_t at = 0, out = 0, used, n, all = *len;
    usher_parse_e state;
    const char *data, *why = "";

    do {
        state = usher_http1_chunks(&x->chunks, buf + at, all - at, &used, &data, &n, &why);
        if (n) {
            memmove(buf + out, data, n);
            out += n;
        }
        at += used;
    } while (state == USHER_PARSE_MORE && used);
    x->body_received += (apr_off_t)out;
    *len = out;
    if (state == USHER_PARSE_BAD) {
        return backend_relay_malformed(x, why);
    }
    if (state == USHER_PARSE_DONE) {
        x->receiving = BACKEND_RECV_TRAILERS;
        return http_trailers(x, buf + at, all - at);
    }
    return BACKEND_END_NONE;
}

static backend_end_e http_body(backend_exchange_t *x, char *buf, apr_size_t *len)
{
    apr_off_t left;
    apr_size_t n = *len;

    if (x->receiving == BACKEND_RECV_TRAILERS) {
        *len = 0;
        return http_trailers(x, buf, n);
    }
    if (x->ends == BACKEND_ENDS_CHUNKED) {
        return http_dechunk(x, buf, len);
    }
    left = x->answer.content_length - x->body_received;
    if (x->ends == BACKEND_ENDS_LENGTH && (apr_off_t)n > left) {
        *len = 0;
        return backend_relay_too_long(x);
    }
    x->body_received += (apr_off_t)n;
    if (x->ends == BACKEND_ENDS_LENGTH && x->body_received == x->answer.content_length) {
        x->receiving = BACKEND_RECV_DONE;
    }
    return BACKEND_END_NONE;
}

const backend_protocol_t backend_http = {
    .head = backend_http_head_make,
    .queue = http_queue,
    .answer = http_answer,
    .next_field = http_next_field,
    .body = http_body,
};
