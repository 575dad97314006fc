/* Packets of a container. */
#include "usher_ajp.h"
#include "usher_number.h"
#include "usher_text.h"

#include <apr_cstr.h>
#include <string.h>

#define FRAME_LEN 4
#define TYPED_LEN 5 /* with the type */
/* Bytes of a BODY but its data, frame not included. */
#define BODY_OVERHEAD 4
/* Type, status, a null reason, number of headers */
#define HEAD_LEN_MIN 7
#define NULL_STRING 0xFFFF
#define CODE_MIN 0xA000

const char usher_ajp_too_long[] = "packet too long";

static unsigned int int_at(const char *buf)
{
    return (unsigned int)(unsigned char)buf[0] << 8 | (unsigned char)buf[1];
}

/* Does the length of what follows the frame fit the type? */
static const char *check_type(int type, unsigned int length)
{
    unsigned int wanted = length;

    switch (type) {
    case USHER_AJP_BODY:
        wanted = length < BODY_OVERHEAD ? BODY_OVERHEAD : length;
        break;
    case USHER_AJP_HEAD:
        wanted = length < HEAD_LEN_MIN ? HEAD_LEN_MIN : length;
        break;
    case USHER_AJP_END:
        wanted = 2;
        break;
    case USHER_AJP_ASK:
        wanted = 3;
        break;
    case USHER_AJP_PONG:
        wanted = 1;
        break;
    default:
        return "packet of an unknown type";
    }
    return length == wanted ? NULL : "packet of a length that does not fit its type";
}

/* What there is of a frame and of the type. */
static const char *check_frame(const char *buf, apr_size_t len, apr_size_t max)
{
    unsigned int length;

    if ((len > 0 && buf[0] != 'A') || (len > 1 && buf[1] != 'B')) {
        return "packet that does not begin as one of a container";
    }
    if (len < FRAME_LEN - 1) {
        return NULL;
    }
    length = len < FRAME_LEN ? (unsigned int)(unsigned char)buf[2] << 8 : int_at(buf + 2);
    if (FRAME_LEN + (apr_size_t)length > max) {
        return usher_ajp_too_long;
    }
    if (len < FRAME_LEN) {
        return NULL;
    }
    if (!length) {
        return "empty packet";
    }
    return len >= TYPED_LEN ? check_type(buf[FRAME_LEN], length) : NULL;
}

/* A BODY whose type has come. */
static usher_parse_e read_body(const char *buf, apr_size_t len, usher_ajp_packet_t *packet,
                               const char **why)
{
    unsigned int data_len = int_at(buf + 2) - BODY_OVERHEAD;
    const char said[2] = { (char)(unsigned char)(data_len >> 8), (char)(unsigned char)data_len };
    apr_size_t have = len < USHER_AJP_DATA_AT ? len - TYPED_LEN : sizeof(said);

    if (memcmp(buf + TYPED_LEN, said, have)) {
        *why = "data of a length that does not fit its packet";
        return USHER_PARSE_BAD;
    }
    if (have < sizeof(said)) {
        return USHER_PARSE_MORE;
    }
    packet->type = USHER_AJP_BODY;
    packet->len = USHER_AJP_DATA_AT;
    packet->data_len = data_len;
    packet->reuse = 0;
    return USHER_PARSE_DONE;
}

usher_parse_e usher_ajp_packet(const char *buf, apr_size_t len, apr_size_t max,
                               usher_ajp_packet_t *packet, const char **why)
{
    const char *wrong = check_frame(buf, len, max);
    apr_size_t whole;

    if (wrong) {
        *why = wrong;
        return USHER_PARSE_BAD;
    }
    if (len < TYPED_LEN) {
        return USHER_PARSE_MORE;
    }
    if (buf[FRAME_LEN] == USHER_AJP_BODY) {
        return read_body(buf, len, packet, why);
    }
    whole = FRAME_LEN + (apr_size_t)int_at(buf + 2);
    if (len < whole) {
        return USHER_PARSE_MORE;
    }
    if (buf[FRAME_LEN] == USHER_AJP_ASK && !int_at(buf + TYPED_LEN)) {
        *why = "request for none of the body";
        return USHER_PARSE_BAD;
    }
    packet->type = (usher_ajp_type_e)buf[FRAME_LEN];
    packet->len = whole;
    packet->data_len = packet->type == USHER_AJP_ASK ? int_at(buf + TYPED_LEN) : 0;
    packet->reuse = packet->type == USHER_AJP_END && buf[TYPED_LEN] == 1;
    return USHER_PARSE_DONE;
}

/* The functions below read what is at *at, which moves on; 0 where the packet
 * is not made so. */

typedef struct {
    const char *buf;
    apr_size_t len;
    apr_size_t at;
} reader_t;

static int read_int(reader_t *r, unsigned int *value)
{
    if (r->len < 2 || r->at > r->len - 2) {
        return 0;
    }
    *value = int_at(r->buf + r->at);
    r->at += 2;
    return 1;
}

/* The bytes of a string and the NUL behind them. */
static int read_bytes(reader_t *r, apr_size_t len, const char **text)
{
    if (r->len - r->at <= len || r->buf[r->at + len]) {
        return 0;
    }
    *text = r->buf + r->at;
    r->at += len + 1;
    return 1;
}

static int read_string(reader_t *r, const char **text, apr_size_t *text_len)
{
    unsigned int len;

    if (!read_int(r, &len)) {
        return 0;
    }
    if (len == NULL_STRING) {
        *text = "";
        *text_len = 0;
        return 1;
    }
    *text_len = len;
    return read_bytes(r, len, text);
}

static const char content_length_name[] = "Content-Length";

/* The name of a code; NULL where there is none. */
static const char *coded_name(unsigned int code)
{
    static const char *const names[] = {
        NULL, "Content-Type", "Content-Language", content_length_name, "Date", "Last-Modified",
        "Location", "Set-Cookie", "Set-Cookie2", "Servlet-Engine", "Status", "WWW-Authenticate"
    };

    code -= CODE_MIN;
    return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}

/* @param name_len  of a name without a code; else 0 */
static int read_name(reader_t *r, const char **name, apr_size_t *name_len)
{
    unsigned int len;

    if (!read_int(r, &len)) {
        return 0;
    }
    if (len >= CODE_MIN) {
        *name = coded_name(len);
        *name_len = 0;
        return *name != NULL;
    }
    *name_len = len;
    return read_bytes(r, len, name);
}

/* The functions below return NULL or what is wrong. */

static const char *read_content_length(usher_ajp_head_t *head, const char *value, apr_size_t len)
{
    apr_uint64_t number;

    if (!len || usher_number_parse(&number, APR_INT64_MAX, value, len) != len) {
        return "invalid Content-Length";
    }
    if (head->content_length >= 0 && head->content_length != (apr_int64_t)number) {
        return "two different Content-Length";
    }
    head->content_length = (apr_int64_t)number;
    return NULL;
}

static int is_content_length(const char *name, apr_size_t name_len)
{
    return name == content_length_name
           || (name_len == sizeof(content_length_name) - 1
               && !apr_cstr_casecmpn(name, content_length_name, name_len));
}

static const char *read_field(reader_t *r, usher_ajp_head_t *head)
{
    const char *name, *value;
    apr_size_t name_len, value_len;

    if (!read_name(r, &name, &name_len)) {
        return "malformed name of a header, or an unknown code";
    }
    if (name_len ? !usher_text_is_token(name, name_len) : !*name) {
        return "invalid field name";
    }
    if (!read_string(r, &value, &value_len)) {
        return "malformed value of a header";
    }
    if (!usher_text_is_value(value, value_len)) {
        return "control character in a header";
    }
    return is_content_length(name, name_len) ? read_content_length(head, value, value_len) : NULL;
}

/* What comes before the first header. */
static const char *read_status(reader_t *r, usher_ajp_head_t *head)
{
    unsigned int status;

    if (!read_int(r, &status) || status < 200 || status > 999) {
        return "invalid status";
    }
    if (!read_string(r, &head->reason, &head->reason_len)) {
        return "malformed reason phrase";
    }
    if (!usher_text_is_value(head->reason, head->reason_len)) {
        return "control character in the reason phrase";
    }
    if (!read_int(r, &head->fields)) {
        return "no number of headers";
    }
    head->status = (int)status;
    head->fields_at = r->at;
    head->content_length = -1;
    return NULL;
}

int usher_ajp_head(usher_ajp_head_t *head, const char *packet, apr_size_t len,
                   unsigned int fields_max, const char **why)
{
    reader_t r = { packet, len, TYPED_LEN };
    const char *wrong = read_status(&r, head);
    unsigned int i;

    if (!wrong && head->fields > fields_max) {
        wrong = "too many fields";
    }
    for (i = 0; !wrong && i < head->fields; ++i) {
        wrong = read_field(&r, head);
    }
    if (!wrong && r.at != len) {
        wrong = "bytes behind the last header";
    }
    if (wrong) {
        *why = wrong;
    }
    return !wrong;
}

int usher_ajp_next_field(const char *packet, apr_size_t len, apr_size_t *at,
                         usher_ajp_field_t *field)
{
    reader_t r = { packet, len, *at };
    apr_size_t name_len, value_len;

    if (!read_name(&r, &field->name, &name_len)
        || !read_string(&r, &field->value, &value_len)) {
        return 0;
    }
    *at = r.at;
    return 1;
}
