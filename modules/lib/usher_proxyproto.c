/* The PROXY protocol's header; see usher_proxyproto.h. */
#include <string.h>

#include "usher_proxyproto.h"

/* Version 2, section 2.2 */
#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_LEN 12
#define V2_HEAD          16
#define V2_VERSION       0x20
#define V2_LOCAL         0x0
#define V2_PROXY         0x1
#define V2_TCP4          0x11
#define V2_TCP6          0x21

static unsigned int proxyproto_number(const char *bytes)
{
    return (unsigned int)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1];
}

/* Both addresses, then both ports. @param size  of one address */
static usher_parse_e proxyproto_v2_client(usher_proxyproto_t *header, const char *bytes, apr_size_t len,
                                          apr_size_t size)
{
    apr_size_t needed = 2 * size + 4;

    if (header->len - V2_HEAD < needed) {
        return USHER_PARSE_BAD;
    }
    if (len < V2_HEAD + needed) {
        return USHER_PARSE_MORE;
    }
    header->has_client = 1;
    header->client = usher_cidr_address(bytes + V2_HEAD, size);
    header->port = (apr_uint16_t)proxyproto_number(bytes + V2_HEAD + 2 * size);
    return USHER_PARSE_DONE;
}

static usher_parse_e proxyproto_v2(usher_proxyproto_t *header, const char *bytes, apr_size_t len)
{
    unsigned char command, family;

    if (len < V2_HEAD) {
        return USHER_PARSE_MORE;
    }
    command = (unsigned char)bytes[V2_SIGNATURE_LEN];
    family = (unsigned char)bytes[V2_SIGNATURE_LEN + 1];
    header->len = V2_HEAD + proxyproto_number(bytes + V2_SIGNATURE_LEN + 2);
    if (command == (V2_VERSION | V2_LOCAL)) {
        return USHER_PARSE_DONE;
    }
    if (command == (V2_VERSION | V2_PROXY) && family == V2_TCP4) {
        return proxyproto_v2_client(header, bytes, len, 4);
    }
    if (command == (V2_VERSION | V2_PROXY) && family == V2_TCP6) {
        return proxyproto_v2_client(header, bytes, len, 16);
    }
    return USHER_PARSE_BAD;
}

/* The next word of a line, which moves behind it and its blank. @return its length; 0: there is none */
static apr_size_t proxyproto_word(const char **word, const char **line, const char *end)
{
    const char *blank = memchr(*line, ' ', (apr_size_t)(end - *line));
    const char *behind = blank ? blank : end;

    *word = *line;
    *line = blank ? blank + 1 : end;
    return (apr_size_t)(behind - *word);
}

static int proxyproto_address(usher_cidr_address_t *address, const char *text, apr_size_t len, int is_ipv6)
{
    usher_cidr_range_t range;

    if (memchr(text, '/', len) || (memchr(text, ':', len) != NULL) != is_ipv6 || !usher_cidr_parse(&range, text, len)) {
        return 0;
    }
    *address = range.first;
    return 1;
}

static int proxyproto_port(apr_uint16_t *port, const char *text, apr_size_t len)
{
    unsigned int number = 0;
    apr_size_t i;

    for (i = 0; i < len && i < 6 && text[i] >= '0' && text[i] <= '9'; ++i) {
        number = number * 10 + (unsigned int)(text[i] - '0');
    }
    *port = (apr_uint16_t)number;
    return len && i == len && number <= 65535 && (len == 1 || text[0] != '0');
}

/* "PROXY TCP4 client server port port". @param end  at its CR */
static int proxyproto_v1_line(usher_proxyproto_t *header, const char *line, const char *end)
{
    const char *word;
    apr_size_t len;
    usher_cidr_address_t server;
    apr_uint16_t port;
    int is_ipv6;

    proxyproto_word(&word, &line, end);
    len = proxyproto_word(&word, &line, end);
    if (len == 7 && !memcmp(word, "UNKNOWN", 7)) {
        return 1;
    }
    if (len != 4 || memcmp(word, "TCP", 3) || (word[3] != '4' && word[3] != '6')) {
        return 0;
    }
    is_ipv6 = word[3] == '6';
    header->has_client = 1;
    len = proxyproto_word(&word, &line, end);
    if (!proxyproto_address(&header->client, word, len, is_ipv6)) {
        return 0;
    }
    len = proxyproto_word(&word, &line, end);
    if (!proxyproto_address(&server, word, len, is_ipv6)) {
        return 0;
    }
    len = proxyproto_word(&word, &line, end);
    if (!proxyproto_port(&header->port, word, len)) {
        return 0;
    }
    len = proxyproto_word(&word, &line, end);
    return proxyproto_port(&port, word, len) && line == end && end[-1] != ' ';
}

static usher_parse_e proxyproto_v1(usher_proxyproto_t *header, const char *bytes, apr_size_t len)
{
    apr_size_t most = len < USHER_PROXYPROTO_V1_MAX ? len : USHER_PROXYPROTO_V1_MAX;
    const char *cr = memchr(bytes, '\r', most);

    if (!cr) {
        return len < USHER_PROXYPROTO_V1_MAX ? USHER_PARSE_MORE : USHER_PARSE_BAD;
    }
    if (cr + 1 == bytes + most) {
        return most < USHER_PROXYPROTO_V1_MAX ? USHER_PARSE_MORE : USHER_PARSE_BAD;
    }
    header->len = (apr_size_t)(cr + 2 - bytes);
    return cr[1] == '\n' && proxyproto_v1_line(header, bytes, cr) ? USHER_PARSE_DONE : USHER_PARSE_BAD;
}

/* Whether the bytes so far begin as those do. */
static int proxyproto_begins(const char *bytes, apr_size_t len, const char *as, apr_size_t as_len)
{
    return !memcmp(bytes, as, len < as_len ? len : as_len);
}

usher_parse_e usher_proxyproto_read(usher_proxyproto_t *header, const char *bytes, apr_size_t len)
{
    *header = (usher_proxyproto_t) { 0 };
    if (!len) {
        return USHER_PARSE_MORE;
    }
    if (proxyproto_begins(bytes, len, V2_SIGNATURE, V2_SIGNATURE_LEN)) {
        return proxyproto_v2(header, bytes, len);
    }
    if (proxyproto_begins(bytes, len, "PROXY ", 6)) {
        return proxyproto_v1(header, bytes, len);
    }
    return USHER_PARSE_BAD;
}
