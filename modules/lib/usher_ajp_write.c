/* Packets for a container. */
#include "usher_ajp.h"

#include <apr_cstr.h>
#include <string.h>

#define FRAME_LEN 4
#define MAGIC 0x1234
/* A name of this length or more would be taken for a code. */
#define NAME_LEN_MAX 0x9FFF
#define CODE_BASE 0xA000
#define NULL_STRING 0xFFFF
#define REQUEST_ATTRIBUTE 0x0A

const char usher_ajp_ping[5] = { 0x12, 0x34, 0x00, 0x01, 0x0A };

static void store_int(char *to, apr_size_t value)
{
    to[0] = (char)(unsigned char)(value >> 8);
    to[1] = (char)(unsigned char)(value & 0xFF);
}

/* Room for some more bytes, or NULL; after that nothing fits any more. */
static char *take_room(usher_ajp_writer_t *w, apr_size_t n)
{
    char *room = w->buf + w->len;

    if (w->overflow || n > w->size - w->len) {
        w->overflow = 1;
        return NULL;
    }
    w->len += n;
    return room;
}

void usher_ajp_begin(usher_ajp_writer_t *w, char *buf, apr_size_t size)
{
    w->buf = buf;
    w->size = size < USHER_AJP_PACKET_MAX ? size : USHER_AJP_PACKET_MAX;
    w->len = FRAME_LEN;
    w->overflow = 0;
}

void usher_ajp_put_byte(usher_ajp_writer_t *w, unsigned int value)
{
    char *room = take_room(w, 1);

    if (value > 0xFF) {
        w->overflow = 1;
    }
    else if (room) {
        *room = (char)(unsigned char)value;
    }
}

void usher_ajp_put_int(usher_ajp_writer_t *w, unsigned int value)
{
    char *room = take_room(w, 2);

    if (value > 0xFFFF) {
        w->overflow = 1;
    }
    else if (room) {
        store_int(room, value);
    }
}

static void put_bytes(usher_ajp_writer_t *w, const char *text, apr_size_t len)
{
    char *room = take_room(w, 2 + len + 1);

    /* What has room is shorter than the null string: a packet is no longer. */
    if (room) {
        store_int(room, len);
        memcpy(room + 2, text, len + 1);
    }
}

void usher_ajp_put_string(usher_ajp_writer_t *w, const char *text)
{
    if (text) {
        put_bytes(w, text, strlen(text));
    }
    else {
        usher_ajp_put_int(w, NULL_STRING);
    }
}

/* Ordered by length. */
static const struct {
    const char *name;
    unsigned char len;
    unsigned char code;
} coded_fields[] = {
    { "host", 4, 0x0B },
    { "accept", 6, 0x01 },
    { "cookie", 6, 0x09 },
    { "pragma", 6, 0x0C },
    { "cookie2", 7, 0x0A },
    { "referer", 7, 0x0D },
    { "connection", 10, 0x06 },
    { "user-agent", 10, 0x0E },
    { "content-type", 12, 0x07 },
    { "authorization", 13, 0x05 },
    { "accept-charset", 14, 0x02 },
    { "content-length", 14, 0x08 },
    { "accept-encoding", 15, 0x03 },
    { "accept-language", 15, 0x04 },
};
#define CODED_FIELDS (sizeof(coded_fields) / sizeof(coded_fields[0]))
#define CODED_LEN_MAX 15

/* Where names of a length begin in coded_fields. */
static const unsigned char coded_at[CODED_LEN_MAX + 1] = {
    [4] = 0, [6] = 1, [7] = 4, [10] = 6, [12] = 8, [13] = 9, [14] = 10, [15] = 12
};

/* The code of a header's name; 0 where it has none. */
static unsigned int field_code(const char *name, apr_size_t len)
{
    apr_size_t i;

    if (len > CODED_LEN_MAX) {
        return 0;
    }
    for (i = coded_at[len]; i < CODED_FIELDS && coded_fields[i].len == len; ++i) {
        /* The first letter as a small one; what else that hits is compared, too. */
        if ((*name | 0x20) == *coded_fields[i].name
            && !apr_cstr_casecmpn(name, coded_fields[i].name, len)) {
            return CODE_BASE | coded_fields[i].code;
        }
    }
    return 0;
}

void usher_ajp_put_field(usher_ajp_writer_t *w, const char *name, const char *value)
{
    apr_size_t len = strlen(name);
    unsigned int code = field_code(name, len);

    if (code) {
        usher_ajp_put_int(w, code);
    }
    else if (len <= NAME_LEN_MAX) {
        put_bytes(w, name, len);
    }
    else {
        w->overflow = 1;
    }
    usher_ajp_put_string(w, value);
}

void usher_ajp_put_attribute(usher_ajp_writer_t *w, usher_ajp_attribute_e code,
                             const char *value)
{
    usher_ajp_put_byte(w, (unsigned int)code);
    usher_ajp_put_string(w, value);
}

void usher_ajp_put_named(usher_ajp_writer_t *w, const char *name, const char *value)
{
    usher_ajp_put_byte(w, REQUEST_ATTRIBUTE);
    usher_ajp_put_string(w, name);
    usher_ajp_put_string(w, value);
}

unsigned int usher_ajp_method(const char *method)
{
    /* In the order of their codes, which begin with 1. */
    static const char *const methods[] = {
        "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PROPFIND", "PROPPATCH",
        "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "REPORT", "VERSION-CONTROL",
        "CHECKIN", "CHECKOUT", "UNCHECKOUT", "SEARCH", "MKWORKSPACE", "UPDATE", "LABEL",
        "MERGE", "BASELINE-CONTROL", "MKACTIVITY"
    };
    unsigned int i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); ++i) {
        if (*method == *methods[i] && !strcmp(method, methods[i])) {
            return i + 1;
        }
    }
    return USHER_AJP_METHOD_OTHER;
}

int usher_ajp_end(usher_ajp_writer_t *w)
{
    if (w->overflow) {
        return 0;
    }
    store_int(w->buf, MAGIC);
    store_int(w->buf + 2, w->len - FRAME_LEN);
    return 1;
}

void usher_ajp_body_frame(char frame[USHER_AJP_BODY_FRAME], apr_size_t n)
{
    store_int(frame, MAGIC);
    store_int(frame + 2, n + 2);
    store_int(frame + FRAME_LEN, n);
}
