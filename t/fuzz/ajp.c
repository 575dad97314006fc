/* The first byte chooses the limits, the second one in which pieces the rest
 * comes: packets of a container, one after the other. What is made of a head is
 * compared with a reader that is naive, and it is written and read again. */
#include "fuzz.h"
#include "usher_ajp.h"

typedef struct {
    apr_size_t packet_max;
    unsigned int fields_max;
} limits_t;

/* What comes out, packet by packet. Compared byte by byte: zeroed before. */
typedef struct {
    usher_parse_e rv;
    int type, status, good;
    unsigned int fields, reuse;
    size_t len, data_len, reason_len, fields_at;
    apr_int64_t content_length;
} event_t;

/* ---- A naive reader of heads: a cursor that fails for good. */

typedef struct {
    const unsigned char *at, *end;
    int failed;
} cursor_t;

static unsigned int take_number(cursor_t *c)
{
    if (c->failed || c->end - c->at < 2) {
        c->failed = 1;
        return 0;
    }
    c->at += 2;
    return (unsigned int)(c->at[-2] * 256 + c->at[-1]);
}

static const char *take_text(cursor_t *c, unsigned int len)
{
    const char *text = (const char *)c->at;
    unsigned int i;

    for (i = 0; i < len && !c->failed; ++i, ++c->at) {
        c->failed = c->at == c->end || (*c->at < ' ' && *c->at != '\t') || *c->at == 0x7f;
    }
    if (c->failed || c->at == c->end || *c->at++) {
        c->failed = 1;
        return "";
    }
    return text;
}

static const char *take_value(cursor_t *c)
{
    unsigned int len = take_number(c);

    return c->failed || len == 0xffff ? "" : take_text(c, len);
}

/* The name as a text of small letters; "" for a code that is not Content-Length's. */
static void take_name(cursor_t *c, char name[15])
{
    unsigned int len = take_number(c), i;
    const char *text;

    *name = 0;
    if (len >= 0xa000) {
        c->failed |= len == 0xa000 || len > 0xa00b;
        memcpy(name, len == 0xa003 ? "content-length" : "\0-------------", 15);
        return;
    }
    text = take_text(c, len);
    c->failed |= !*text || strcspn(text, " \t\"(),/:;<=>?@[\\]{}") != len;
    for (i = 0; i < len && !c->failed; ++i) {
        c->failed = (signed char)text[i] < 0;
        if (len == 14) {
            name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
            name[i + 1] = 0;
        }
    }
}

/* Digits without leading zeros; NULL where there are none, or too great a number. */
static const char *plain_number(const char *text)
{
    size_t len = strlen(text);

    if (!len || strspn(text, "0123456789") != len) {
        return NULL;
    }
    while (*text == '0' && text[1]) {
        ++text;
        --len;
    }
    return len > 19 || (len == 19 && strcmp(text, "9223372036854775807") > 0) ? NULL : text;
}

static int is_good_naively(const char *packet, size_t len, unsigned int fields_max)
{
    cursor_t c = { (const unsigned char *)packet + 5, (const unsigned char *)packet + len, 0 };
    unsigned int status = take_number(&c), fields;
    const char *content_length = NULL;

    take_value(&c);
    fields = take_number(&c);
    if (status < 200 || status >= 1000 || fields > fields_max) {
        return 0;
    }
    for (; fields && !c.failed; --fields) {
        char name[15];
        const char *value;

        take_name(&c, name);
        value = take_value(&c);
        if (!c.failed && !strcmp(name, "content-length")) {
            value = plain_number(value);
            c.failed = !value || (content_length && strcmp(content_length, value) != 0);
            content_length = value;
        }
    }
    return !c.failed && c.at == c.end;
}

/* ---- Heads */

static int is_inside(const char *text, const char *packet, size_t len)
{
    return text >= packet && text < packet + len
           && memchr(text, 0, len - (size_t)(text - packet)) != NULL;
}

static void check_text(const char *text, int name)
{
    for (; *text; ++text) {
        unsigned char c = (unsigned char)*text;

        FUZZ_ASSERT(c != 0x7f && (c >= ' ' || c == '\t'));
        FUZZ_ASSERT(!name || (c > ' ' && c < 0x7f && c != ':'));
    }
}

/* Tell the fields; write them as another container would: without codes. */
static void tell_fields(const usher_ajp_head_t *head, const char *packet, size_t len,
                        usher_ajp_writer_t *w)
{
    apr_size_t at = head->fields_at;
    unsigned int told = 0;
    usher_ajp_field_t field;

    for (; usher_ajp_next_field(packet, len, &at, &field); ++told) {
        FUZZ_ASSERT(*field.name && at <= len);
        FUZZ_ASSERT(!*field.value || is_inside(field.value, packet, len));
        check_text(field.name, 1);
        check_text(field.value, 0);
        usher_ajp_put_string(w, field.name);
        usher_ajp_put_string(w, field.value);
    }
    FUZZ_ASSERT(at == len && told == head->fields);
    FUZZ_ASSERT(!usher_ajp_next_field(packet, len, &at, &field) && at == len);
}

/* Who reads it again from what was told reads the same. */
static void check_head(const usher_ajp_head_t *head, const char *packet, size_t len,
                       unsigned int fields_max)
{
    size_t size = len * 20 + 64; /* names are longer than their codes */
    char *buf = malloc(size);
    usher_ajp_writer_t w;
    usher_ajp_head_t again;
    const char *why;

    FUZZ_ASSERT(head->status >= 200 && head->status <= 999 && head->fields <= fields_max);
    FUZZ_ASSERT(strlen(head->reason) == head->reason_len && head->content_length >= -1);
    FUZZ_ASSERT(!head->reason_len || is_inside(head->reason, packet, len));
    check_text(head->reason, 0);
    usher_ajp_begin(&w, buf, size);
    usher_ajp_put_byte(&w, USHER_AJP_HEAD);
    usher_ajp_put_int(&w, (unsigned int)head->status);
    usher_ajp_put_string(&w, head->reason);
    usher_ajp_put_int(&w, head->fields);
    tell_fields(head, packet, len, &w);
    if (usher_ajp_end(&w)) {
        FUZZ_ASSERT(usher_ajp_head(&again, buf, w.len, fields_max, &why));
        FUZZ_ASSERT(again.status == head->status && again.fields == head->fields);
        FUZZ_ASSERT(again.content_length == head->content_length);
        FUZZ_ASSERT(!strcmp(again.reason, head->reason));
    }
    else {
        FUZZ_ASSERT(size > USHER_AJP_PACKET_MAX);
    }
    free(buf);
}

static void read_head(event_t *event, const char *packet, size_t len, unsigned int fields_max)
{
    char *copy = memcpy(malloc(len), packet, len);
    usher_ajp_head_t head;
    const char *why = NULL;

    event->good = usher_ajp_head(&head, copy, len, fields_max, &why);
    FUZZ_ASSERT(event->good == !why);
    FUZZ_ASSERT(event->good == is_good_naively(copy, len, fields_max));
    if (event->good) {
        check_head(&head, copy, len, fields_max);
        event->status = head.status;
        event->fields = head.fields;
        event->reason_len = head.reason_len;
        event->fields_at = head.fields_at;
        event->content_length = head.content_length;
    }
    free(copy);
}

/* ---- Packets */

static void check_packet(const usher_ajp_packet_t *packet, const char *buf, size_t len,
                         size_t packet_max)
{
    size_t whole;

    FUZZ_ASSERT(len >= 5 && packet->len >= 5 && packet->len <= len);
    whole = 4 + (size_t)((unsigned char)buf[2] << 8 | (unsigned char)buf[3]);
    FUZZ_ASSERT(whole <= packet_max);
    FUZZ_ASSERT((int)packet->type == buf[4]);
    if (packet->type == USHER_AJP_BODY) {
        FUZZ_ASSERT(packet->len == 7 && packet->len + packet->data_len + 1 == whole);
        FUZZ_ASSERT((unsigned char)buf[5] == packet->data_len >> 8);
        FUZZ_ASSERT((unsigned char)buf[6] == (packet->data_len & 0xff));
    }
    else {
        FUZZ_ASSERT(packet->len == whole);
        FUZZ_ASSERT((packet->type == USHER_AJP_ASK) == (packet->data_len > 0));
    }
    FUZZ_ASSERT(!packet->reuse || packet->type == USHER_AJP_END);
}

/* The next packet, of which some bytes come first, then more by a step at a
 * time; each time in memory of exactly its size. */
static usher_parse_e next_packet(usher_ajp_packet_t *packet, const char *text, size_t size,
                                 size_t first, size_t step, size_t packet_max)
{
    size_t len = first < size ? first : size;

    for (;;) {
        char *buf = memcpy(malloc(len + !len), text, len);
        const char *why = NULL;
        usher_parse_e rv = usher_ajp_packet(buf, len, packet_max, packet, &why);

        FUZZ_ASSERT((rv == USHER_PARSE_BAD) == (why != NULL));
        if (rv == USHER_PARSE_DONE) {
            check_packet(packet, buf, len, packet_max);
        }
        free(buf);
        if (rv != USHER_PARSE_MORE || len == size) {
            return rv;
        }
        len += size - len < step ? size - len : step;
    }
}

/* Read packets to the first that is not whole or is bad. */
static size_t read_stream(event_t *events, const char *text, size_t size, size_t first,
                          size_t step, const limits_t *limits)
{
    size_t at = 0, count = 0;

    for (;;) {
        event_t *event = &events[count++];
        usher_ajp_packet_t packet;
        size_t len;

        event->rv = next_packet(&packet, text + at, size - at, first, step, limits->packet_max);
        if (event->rv != USHER_PARSE_DONE) {
            return count;
        }
        event->type = (int)packet.type;
        event->len = packet.len;
        event->data_len = packet.data_len;
        event->reuse = packet.reuse;
        if (packet.type == USHER_AJP_HEAD) {
            read_head(event, text + at, packet.len, limits->fields_max);
        }
        len = packet.len + (packet.type == USHER_AJP_BODY ? packet.data_len + 1 : 0);
        if (len > size - at) {
            return count;
        }
        at += len;
    }
}

static void check_pieces(const event_t *whole, size_t count, const char *text, size_t size,
                         size_t first, size_t step, const limits_t *limits)
{
    event_t *events = calloc(size / 5 + 2, sizeof(*events));

    FUZZ_ASSERT(read_stream(events, text, size, first, step, limits) == count);
    FUZZ_ASSERT(!memcmp(events, whole, count * sizeof(*events)));
    free(events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 2;
    limits_t limits = { USHER_AJP_PACKET_DEFAULT, 100 };
    event_t *events;
    size_t count;

    if (size < 2) {
        return 0;
    }
    size -= 2;
    if (data[0] & 0x80) {
        limits.packet_max = data[0] & 0x20 ? USHER_AJP_PACKET_MAX : 4 + (size_t)data[1];
    }
    if (data[0] & 0x40) {
        limits.fields_max = data[0] & 7;
    }
    events = calloc(size / 5 + 2, sizeof(*events));
    count = read_stream(events, text, size, size, 1, &limits);
    check_pieces(events, count, text, size, data[1], size + 1, &limits);
    check_pieces(events, count, text, size, 0, 1 + size / 64, &limits);
    free(events);
    return 0;
}
