/* AJP13 on a link: packets both ways. The request's body goes out as the container
 * asks for it, but for its first piece where its length is known; the answer's
 * body comes in packets until one says that it is over. */
#include "usher_ajp.h"

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* A kept link that was idle for longer is asked whether somebody is there; the
 * first for a request whose second delivery would do harm. */
#define RISKY_IDLE APR_USEC_PER_SEC
#define LONG_IDLE  (10 * APR_USEC_PER_SEC)
/* So many packets may follow each other within a second that bring nothing. */
#define BARREN_MAX 1000
/* Where a packet's type is: behind its frame. */
#define TYPE_AT 4

/* Sending */

static int ajp_wants_ping(const backend_exchange_t *x)
{
    return x->member.worker->s->ping_timeout_set
           || (x->reused && backend_now() - x->link->idle_since
                                >= (x->replayable ? LONG_IDLE : RISKY_IDLE));
}

static void ajp_put_frame(backend_exchange_t *x, apr_size_t n)
{
    usher_ajp_body_frame(x->frame, n);
    backend_send_put(x, x->frame, USHER_AJP_BODY_FRAME);
}

/* After a packet of the body was put into out[]. The last one leaves SEND_BODY with
 * nothing asked for: all is sent once it has gone. */
static void ajp_body_put(backend_exchange_t *x)
{
    x->asked = 0;
    if (x->body.framing != BACKEND_BODY_LENGTH || x->body_at < x->body.length) {
        x->sending = BACKEND_SEND_AWAIT_ASK;
    }
}

static void ajp_put_end(backend_exchange_t *x)
{
    ajp_put_frame(x, 0);
    x->asked = 0;
    x->body_ended = 1;
}

/* One packet of the body, as large as it was asked for. */
static backend_end_e ajp_queue_body(backend_exchange_t *x, int *want)
{
    apr_size_t max = backend_ajp_piece_max(x);
    backend_pieces_t pieces;

    if (x->drop_body) {
        x->link_close = 1; /* it got less than it was told */
        ajp_put_end(x);
        return BACKEND_END_NONE;
    }
    switch (backend_send_body(x, x->asked < max ? x->asked : max, &pieces, want)) {
    case BACKEND_BODY_DATA:
        ajp_put_frame(x, pieces.sum);
        backend_send_put_pieces(x, &pieces);
        ajp_body_put(x);
        return BACKEND_END_NONE;
    case BACKEND_BODY_WAIT:
        return BACKEND_END_NONE;
    case BACKEND_BODY_END:
        ajp_put_end(x);
        return BACKEND_END_NONE;
    default:
        return BACKEND_END_CLIENT;
    }
}

static backend_end_e ajp_queue_head(backend_exchange_t *x, int *want)
{
    if (!x->pinged && ajp_wants_ping(x)) {
        backend_send_put(x, usher_ajp_ping, sizeof(usher_ajp_ping));
        x->sending = BACKEND_SEND_AWAIT_PONG;
        return BACKEND_END_NONE;
    }
    backend_send_put(x, x->head, x->head_len);
    x->sending = x->body.framing == BACKEND_BODY_CHUNKED ? BACKEND_SEND_AWAIT_ASK
                                                         : BACKEND_SEND_BODY;
    if (x->body.framing == BACKEND_BODY_LENGTH && x->body.length > 0) {
        x->asked = USHER_AJP_PACKET_MAX;
        return ajp_queue_body(x, want);
    }
    return BACKEND_END_NONE;
}

static backend_end_e ajp_queue(backend_exchange_t *x, int *want)
{
    if (x->sending == BACKEND_SEND_HEAD) {
        return ajp_queue_head(x, want);
    }
    if (x->asked) {
        return ajp_queue_body(x, want);
    }
    backend_send_done(x);
    return BACKEND_END_NONE;
}

/* GET_BODY_CHUNK */

/* Why the container may not ask just now; NULL: it may. The body's end is told once. */
static const char *ajp_why_not_ask(const backend_exchange_t *x, apr_size_t n)
{
    return x->body_ended ? "it asks for more of the request's body after its end"
           : x->asked || x->out_at < x->out_len
                 ? "it asks for more of the request's body before it got the last piece"
           : !n ? "it asks for nothing of the request's body" : NULL;
}

static const char *ajp_ask(backend_exchange_t *x, apr_size_t n)
{
    const char *why = ajp_why_not_ask(x, n);

    /* STOPPED: it does not read any more; its end will be seen. */
    if (!why && x->sending != BACKEND_SEND_STOPPED) {
        x->asked = n;
        x->sending = BACKEND_SEND_BODY;
        x->awaited = 0; /* the next question comes as soon */
    }
    return why;
}

/* Receiving */

/* SEND_HEADERS, at the beginning of x->in. */
static backend_end_e ajp_head(backend_exchange_t *x, apr_size_t len)
{
    usher_ajp_head_t head;
    const char *why = "its head is too long";

    if (len > (apr_size_t)x->conf->head_max
        || !usher_ajp_head(&head, x->in, len, (unsigned int)x->conf->fields_max, &why)) {
        return backend_attempt_malformed(x, why);
    }
    x->answer.status = head.status;
    x->answer.reason = head.reason;
    x->answer.reason_len = head.reason_len;
    x->answer.fields = head.fields;
    x->answer.fields_at = head.fields_at;
    x->answer.content_length = head.content_length;
    x->answer.idle_max = -1;
    x->answer.len = len;
    x->barren = 0;
    x->drop_body = head.status >= 400 && !x->body.eos; /* it hardly wants what has not come */
    if (x->drop_body) {
        x->client_at = 0;
    }
    return backend_receive_final(x);
}

/* What an administrator can do something about is told so. */
static const char *ajp_why(const backend_exchange_t *x, const char *why)
{
    return why != usher_ajp_too_long ? why
           : apr_psprintf(x->r->pool, "a packet of more than %" APR_SIZE_T_FMT " bytes: give its AJP "
                          "connector that packetSize, or raise ProxyIOBufferSize or iobuffersize= "
                          "here to the connector's", backend_ajp_packet_max(x));
}

/* Instead of its CPONG: as nothing of the request has gone, it can go on. */
static backend_end_e ajp_malformed(backend_exchange_t *x, const char *why)
{
    backend_end_e end = backend_attempt_malformed(x, why);

    return x->something_sent ? end : BACKEND_END_WITHHELD;
}

/* A packet that brings nothing to anybody: some are as good as none, but no more. */
static const char *ajp_barren(backend_exchange_t *x)
{
    apr_time_t now = backend_now();

    if (now - x->barren_since >= APR_USEC_PER_SEC) {
        x->barren_since = now;
        x->barren = 0;
    }
    return ++x->barren > BARREN_MAX ? "too many packets without anything in them" : NULL;
}

/* A packet before the answer's head. */
static backend_end_e ajp_early_packet(backend_exchange_t *x, const usher_ajp_packet_t *packet)
{
    const char *why = NULL;

    if (x->sending == BACKEND_SEND_AWAIT_PONG) {
        if (packet->type != USHER_AJP_PONG || x->in_len > packet->len) {
            return ajp_malformed(x, "something else than a CPONG");
        }
        x->sending = BACKEND_SEND_HEAD;
        x->pinged = 1;
        return BACKEND_END_NONE;
    }
    switch (packet->type) {
    case USHER_AJP_ASK:
        why = ajp_ask(x, packet->data_len);
        break;
    case USHER_AJP_BODY:
        /* A flush, which has nothing to flush yet. */
        why = packet->data_len ? "a body before its head" : ajp_barren(x);
        x->packet_left = 1;
        break;
    case USHER_AJP_END:
        why = "an end without a head";
        break;
    default:
        why = "a CPONG that was not asked for";
    }
    return why ? ajp_malformed(x, why) : BACKEND_END_NONE;
}

/* The NUL behind a flush. Returns 0 where it is another byte. */
static int ajp_skip_nul(backend_exchange_t *x)
{
    if (x->packet_left && x->in_len) {
        if (*x->in) {
            return 0;
        }
        backend_receive_used(x, 1);
        x->packet_left = 0;
    }
    return 1;
}

static backend_end_e ajp_answer(backend_exchange_t *x)
{
    usher_ajp_packet_t packet;
    const char *why = "";
    backend_end_e end = BACKEND_END_NONE;

    while (end == BACKEND_END_NONE && ajp_skip_nul(x)) {
        switch (usher_ajp_packet(x->in, x->in_len, backend_ajp_packet_max(x), &packet, &why)) {
        case USHER_PARSE_BAD:
            return ajp_malformed(x, ajp_why(x, why));
        case USHER_PARSE_MORE:
            /* A part of what is known to be another packet is none of the answer. */
            x->first_at = x->in_len > TYPE_AT && x->in[TYPE_AT] != USHER_AJP_HEAD ? 0 : x->first_at;
            return BACKEND_END_NONE;
        default:
            break;
        }
        if (packet.type == USHER_AJP_HEAD && x->sending != BACKEND_SEND_AWAIT_PONG) {
            return ajp_head(x, packet.len);
        }
        end = ajp_early_packet(x, &packet);
        backend_receive_used(x, packet.len);
        x->first_at = x->in_len ? x->first_at : 0; /* it was none of the answer */
    }
    return end != BACKEND_END_NONE ? end
                                   : backend_attempt_malformed(x, "a packet without its NUL");
}

static int ajp_next_field(const backend_exchange_t *x, char *head, apr_size_t *at,
                          const char **name, const char **value)
{
    usher_ajp_field_t field;

    if (!usher_ajp_next_field(head, x->answer.len, at, &field)) {
        return 0;
    }
    *name = field.name;
    *value = field.value;
    return 1;
}

/* The answer's body */

/* Tomcat refuses a request in this way before an application sees it. */
static void ajp_log_refusal(const backend_exchange_t *x)
{
    if (x->answer.status == HTTP_FORBIDDEN) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r, USHERLOGNO(2024)
                      "%s: it answered 403 and closes the connection, as Tomcat does where %s, or "
                      "where it does not allow a request attribute (AJP_*; its "
                      "allowedRequestAttributesPattern)",
                      backend_note_member(x), *x->member.worker->s->secret
                          ? "secret= is not the one of its AJP connector"
                          : "its AJP connector wants a secret (secret=)");
    }
}

/* END_RESPONSE */
static backend_end_e ajp_end(backend_exchange_t *x, int reuse)
{
    if (!reuse) {
        x->link_close = 1;
        ajp_log_refusal(x);
    }
    if (!x->whole && x->answer.content_length >= 0) {
        return backend_relay_too_short(x, "it ended the answer too soon");
    }
    x->receiving = BACKEND_RECV_DONE;
    if (x->sending < BACKEND_SEND_DONE && !x->asked && x->out_at == x->out_len) {
        x->sending = BACKEND_SEND_DONE; /* it does not want the rest of the body */
    }
    x->client_at = 0;
    return BACKEND_END_NONE;
}

static backend_end_e ajp_late_packet(backend_exchange_t *x, const usher_ajp_packet_t *packet)
{
    const char *why = NULL;

    switch (packet->type) {
    case USHER_AJP_BODY:
        x->packet_left = packet->data_len + 1;
        if (packet->data_len && !x->bodyless) {
            x->barren = 0;
        }
        else {
            why = ajp_barren(x);
        }
        break;
    case USHER_AJP_END:
        return ajp_end(x, packet->reuse);
    case USHER_AJP_ASK:
        why = ajp_ask(x, packet->data_len);
        break;
    default:
        why = "a CPONG that was not asked for";
    }
    return why ? backend_relay_malformed(x, why) : BACKEND_END_NONE;
}

/* Take up to n bytes of a body packet's data from `from` to `to`.
 * @param used  gets how many were taken
 * @param kept  how many of them belong to the body */
static backend_end_e ajp_take_data(backend_exchange_t *x, char *to, const char *from,
                                   apr_size_t n, apr_size_t *used, apr_size_t *kept)
{
    apr_size_t data = x->packet_left - 1 < n ? x->packet_left - 1 : n;

    *used = data;
    *kept = x->bodyless ? 0 : data;
    memmove(to, from, *kept);
    x->packet_left -= data;
    x->body_received += (apr_off_t)*kept;
    if (!x->bodyless && x->answer.content_length >= 0) {
        x->whole = x->body_received == x->answer.content_length;
        if (x->body_received > x->answer.content_length) {
            *kept = 0;
            return backend_relay_too_long(x);
        }
    }
    if (data < n) {
        if (from[data]) {
            return backend_relay_malformed(x, "a packet without its NUL");
        }
        x->packet_left = 0;
        ++*used;
    }
    return BACKEND_END_NONE;
}

static backend_end_e ajp_body(backend_exchange_t *x, char *buf, apr_size_t *len)
{
    apr_size_t at = 0, out = 0, all = *len, used, kept;
    backend_end_e end = BACKEND_END_NONE;
    usher_parse_e state = USHER_PARSE_DONE;
    usher_ajp_packet_t packet;
    const char *why = "";

    while (end == BACKEND_END_NONE && state == USHER_PARSE_DONE && at < all
           && x->receiving == BACKEND_RECV_BODY) {
        if (x->packet_left) {
            end = ajp_take_data(x, buf + out, buf + at, all - at, &used, &kept);
            out += kept;
            at += used;
            continue;
        }
        if (all - at > TYPE_AT && buf[at + TYPE_AT] == USHER_AJP_HEAD) {
            end = backend_relay_malformed(x, "a second head"); /* however long it is */
            break;
        }
        state = usher_ajp_packet(buf + at, all - at, backend_ajp_packet_max(x), &packet, &why);
        if (state == USHER_PARSE_DONE) {
            end = ajp_late_packet(x, &packet);
            at += packet.len;
        }
    }
    *len = out;
    if (state == USHER_PARSE_BAD) {
        return backend_relay_malformed(x, ajp_why(x, why));
    }
    if (at < all) {
        /* A part of a packet; after the end, what will not be used. */
        backend_relay_carry(x, buf + at, all - at);
    }
    return end;
}

const backend_protocol_t backend_ajp = {
    .head = backend_ajp_head_make,
    .queue = ajp_queue,
    .answer = ajp_answer,
    .next_field = ajp_next_field,
    .body = ajp_body,
};
