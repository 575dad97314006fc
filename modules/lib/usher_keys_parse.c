/* Key files. No message holds anything of the file, which may be the wrong one, and secret. */
#include "usher_keys.h"

#include <openssl/crypto.h>
#include <string.h>

#include "usher_base64.h"

#define KEY USHER_XAES_KEY_SIZE
#define ID_DIGITS 8

static int parse_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int parse_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_id(apr_uint32_t *id, const char *text)
{
    int i;

    *id = 0;
    for (i = 0; i < ID_DIGITS; ++i) {
        int digit = parse_hex_digit(text[i]);

        if (digit < 0) {
            return 0;
        }
        *id = *id << 4 | (apr_uint32_t)digit;
    }
    return 1;
}

static int parse_hex(unsigned char *bytes, const char *text)
{
    int i, bad = 0;

    for (i = 0; i < KEY; ++i) {
        int high = parse_hex_digit(text[2 * i]), low = parse_hex_digit(text[2 * i + 1]);

        bad |= high | low;
        bytes[i] = (unsigned char)((unsigned int)high << 4 | (unsigned int)low);
    }
    return bad >= 0;
}

/* Either alphabet. */
static int parse_base64(unsigned char *bytes, const char *text)
{
    char url[USHER_BASE64_SIZE(KEY)];
    size_t i;
    int ok;

    for (i = 0; i < sizeof(url); ++i) {
        url[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    }
    ok = usher_base64_decode(bytes, KEY, url);
    OPENSSL_cleanse(url, sizeof(url));
    return ok;
}

static const char *parse_bytes(unsigned char *bytes, const char *text, apr_size_t len)
{
    static const unsigned char zeros[KEY];
    int ok;

    if (len == (apr_size_t)KEY * 2) {
        ok = parse_hex(bytes, text);
    }
    else {
        if (len == USHER_BASE64_SIZE(KEY) + 1 && text[len - 1] == '=') {
            --len;
        }
        if (len != USHER_BASE64_SIZE(KEY)) {
            return "the key is not 32 bytes long: 43 characters of base64, or 64 hex digits";
        }
        ok = parse_base64(bytes, text);
    }
    if (!ok) {
        return "the key is neither base64 nor hex";
    }
    return CRYPTO_memcmp(bytes, zeros, KEY) ? NULL : "the key is all zeros: make a random one";
}

/* A line that has more than blanks. Returns a reason, or NULL. */
static const char *parse_line(usher_keyring_t *ring, const char *text, apr_size_t len)
{
    usher_key_t *key = &ring->keys[ring->count];
    apr_size_t at = ID_DIGITS;
    const char *reason;
    int i;

    if (len <= ID_DIGITS || !parse_is_blank(text[ID_DIGITS]) || ring->count == USHER_KEYS_MAX
        || !parse_id(&key->id, text)) {
        return ring->count == USHER_KEYS_MAX
                   ? "more than 64 keys: remove old ones"
                   : "takes an id, which is 8 hex digits, a blank, and the key";
    }
    while (at < len && parse_is_blank(text[at])) {
        ++at;
    }
    reason = parse_bytes(key->bytes, text + at, len - at);
    if (reason) {
        return reason;
    }
    for (i = 0; i < ring->count; ++i) {
        if (ring->keys[i].id == key->id) {
            return "this id stands above already";
        }
        if (!CRYPTO_memcmp(ring->keys[i].bytes, key->bytes, KEY)) {
            return "this key stands above already, under another id";
        }
    }
    ++ring->count;
    return NULL;
}

/* One line, without blanks around it; moves the text behind it. */
static apr_size_t parse_cut(const char **line, const char **text, apr_size_t *left)
{
    const char *end = memchr(*text, '\n', *left);
    apr_size_t len = end ? (apr_size_t)(end - *text) : *left;

    *line = *text;
    *text += len + (end != NULL);
    *left -= len + (end != NULL);
    len -= len && (*line)[len - 1] == '\r';
    while (len && parse_is_blank(**line)) {
        ++*line;
        --len;
    }
    while (len && parse_is_blank((*line)[len - 1])) {
        --len;
    }
    return len;
}

int usher_keys_parse(usher_keyring_t *ring, usher_keys_error_t *error, const char *text,
                     apr_size_t len)
{
    const char *line, *reason = NULL;
    int number = 0;

    memset(ring, 0, sizeof(*ring));
    if (len > USHER_KEYS_FILE_MAX) {
        reason = "larger than 16 KB: this is no key file";
    }
    while (len && !reason) {
        apr_size_t line_len = parse_cut(&line, &text, &len);

        ++number;
        if (line_len && *line != '#') {
            reason = parse_line(ring, line, line_len);
        }
    }
    if (!reason && !ring->count) {
        number = 0;
        reason = "has no key";
    }
    if (reason) {
        error->line = number;
        error->reason = reason;
        usher_keyring_wipe(ring);
    }
    return !reason;
}
