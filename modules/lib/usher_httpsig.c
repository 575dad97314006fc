/* Signed requests. What stands in a field may be of anybody: it is read from the left, a character at a
 * time, and never beyond its end. */
#include "usher_httpsig.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "usher_base64.h"
#include "usher_number.h"

#define MAC USHER_HTTPSIG_MAC_SIZE
/* An integer of RFC 8941 has at most so many digits. */
#define INTEGER_MAX APR_UINT64_C(999999999999999)

_Static_assert(SHA256_DIGEST_LENGTH == MAC, "both are read by httpsig_bytes()");

static int httpsig_take(usher_span_t *from, char c)
{
    if (!from->len || *from->text != c) {
        return 0;
    }
    ++from->text;
    --from->len;
    return 1;
}

static void httpsig_skip(usher_span_t *from, apr_size_t len)
{
    from->text += len;
    from->len -= len;
}

static void httpsig_skip_blanks(usher_span_t *from)
{
    while (httpsig_take(from, ' ') || httpsig_take(from, '\t')) {
    }
}

static int httpsig_is(const usher_span_t *span, const char *text)
{
    return span->len == strlen(text) && !memcmp(span->text, text, span->len);
}

static int httpsig_is_key_char(char c, int first)
{
    return (c >= 'a' && c <= 'z') || c == '*'
           || (!first && ((c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'));
}

/* A key of a dictionary or parameter. */
static int httpsig_key(usher_span_t *from, usher_span_t *key)
{
    apr_size_t len = 0;

    while (len < from->len && httpsig_is_key_char(from->text[len], !len)) {
        ++len;
    }
    *key = (usher_span_t) { from->text, len };
    httpsig_skip(from, len);
    return len != 0;
}

/* A string, without its quotes. */
static int httpsig_string(usher_span_t *from, usher_span_t *string)
{
    apr_size_t len = 0;

    if (!httpsig_take(from, '"')) {
        return 0;
    }
    while (len < from->len && from->text[len] >= ' ' && from->text[len] < 0x7f
           && from->text[len] != '"' && from->text[len] != '\\') {
        ++len;
    }
    *string = (usher_span_t) { from->text, len };
    httpsig_skip(from, len);
    return httpsig_take(from, '"');
}

static int httpsig_integer(usher_span_t *from, apr_int64_t *integer)
{
    apr_uint64_t number;
    apr_size_t digits = usher_number_parse(&number, INTEGER_MAX, from->text, from->len);

    if (!digits || (digits > 1 && *from->text == '0')) {
        return 0;
    }
    *integer = (apr_int64_t)number;
    httpsig_skip(from, digits);
    return 1;
}

/* What stands between colons. */
static int httpsig_binary(usher_span_t *from, usher_span_t *binary)
{
    const char *end;

    if (!httpsig_take(from, ':') || !from->len || !(end = memchr(from->text, ':', from->len))) {
        return 0;
    }
    *binary = (usher_span_t) { from->text, (apr_size_t)(end - from->text) };
    httpsig_skip(from, binary->len + 1);
    return 1;
}

/* 32 bytes in base64 (RFC 4648, 4), in its one form. */
static int httpsig_bytes(unsigned char bytes[MAC], const usher_span_t *binary)
{
    char url[USHER_BASE64_SIZE(MAC)];
    apr_size_t i;

    if (binary->len != sizeof(url) + 1 || binary->text[sizeof(url)] != '=') {
        return 0;
    }
    for (i = 0; i < sizeof(url); ++i) {
        char c = binary->text[i];

        if (c == '-' || c == '_') {
            return 0;
        }
        url[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    return usher_base64_decode(bytes, MAC, url);
}

static int httpsig_is_name(const usher_span_t *name)
{
    apr_size_t i;

    for (i = 0; i < name->len; ++i) {
        char c = name->text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.'
            && (c != '@' || i)) {
            return 0;
        }
    }
    return name->len != 0;
}

/* ("@method" "content-digest") */
static const char *httpsig_components(usher_httpsig_t *sig, usher_span_t *from)
{
    unsigned int i;

    if (!httpsig_take(from, '(')) {
        return "a label and '=' are not followed by a list of components";
    }
    while (!httpsig_take(from, ')')) {
        usher_span_t *name = &sig->components[sig->count];

        if (sig->count == USHER_HTTPSIG_COMPONENTS_MAX) {
            return "it covers more than 16 components";
        }
        if ((sig->count && !httpsig_take(from, ' ')) || !httpsig_string(from, name)
            || !httpsig_is_name(name)) {
            return "its components are not names in quotes, in small letters, with one blank between them "
                   "and without parameters";
        }
        for (i = 0; i < sig->count; ++i) {
            if (name->len == sig->components[i].len
                && !memcmp(name->text, sig->components[i].text, name->len)) {
                return "it covers a component twice";
            }
        }
        ++sig->count;
    }
    return NULL;
}

static const char *httpsig_param(usher_httpsig_t *sig, usher_span_t *from)
{
    struct {
        const char *name;
        apr_int64_t *integer;
        usher_span_t *string;
    } params[] = {
        { "created", &sig->created, NULL }, { "expires", &sig->expires, NULL },
        { "nonce", NULL, &sig->nonce },     { "keyid", NULL, &sig->keyid },
        { "alg", NULL, &sig->alg },         { "tag", NULL, &sig->tag },
    };
    usher_span_t key;
    apr_size_t i;

    if (!httpsig_key(from, &key) || !httpsig_take(from, '=')) {
        return "its parameters are not each ';', a name, '=' and a value";
    }
    for (i = 0; i < sizeof(params) / sizeof(params[0]); ++i) {
        if (!httpsig_is(&key, params[i].name)) {
            continue;
        }
        if (params[i].integer ? *params[i].integer != USHER_HTTPSIG_NEVER
                              : params[i].string->text != NULL) {
            return "a parameter is there twice";
        }
        return (params[i].integer ? httpsig_integer(from, params[i].integer)
                                  : httpsig_string(from, params[i].string))
                   ? NULL : "a parameter's value is neither a whole number nor a text in quotes";
    }
    return "it has another parameter than created, expires, nonce, keyid, alg and tag";
}

/* A label and its '='. */
static int httpsig_label(usher_span_t *from, usher_span_t *label)
{
    httpsig_skip_blanks(from);
    return httpsig_key(from, label) && httpsig_take(from, '=');
}

/* Nothing but blanks behind the one member of a dictionary. */
static const char *httpsig_end(usher_span_t *from)
{
    httpsig_skip_blanks(from);
    return !from->len ? NULL
           : *from->text == ',' ? "it has more than one signature"
                                : "something follows that does not belong there";
}

int usher_httpsig_parse(usher_httpsig_t *sig, const char **why, usher_span_t input)
{
    memset(sig, 0, sizeof(*sig));
    sig->created = sig->expires = USHER_HTTPSIG_NEVER;
    if (!httpsig_label(&input, &sig->label)) {
        *why = "it does not begin with a label and '='";
        return 0;
    }
    sig->params.text = input.text;
    *why = httpsig_components(sig, &input);
    while (!*why && httpsig_take(&input, ';')) {
        *why = httpsig_param(sig, &input);
    }
    sig->params.len = (apr_size_t)(input.text - sig->params.text);
    if (!*why) {
        *why = httpsig_end(&input);
    }
    return !*why;
}

int usher_httpsig_parse_mac(unsigned char mac[MAC], const usher_httpsig_t *sig, const char **why,
                            usher_span_t signature)
{
    usher_span_t label, binary;

    if (!httpsig_label(&signature, &label) || !httpsig_binary(&signature, &binary)) {
        *why = "it is not a label, '=', and base64 between colons";
    }
    else if (label.len != sig->label.len || memcmp(label.text, sig->label.text, label.len) != 0) {
        *why = "it has another label than Signature-Input";
    }
    else if (!httpsig_bytes(mac, &binary)) {
        *why = "it is not 32 bytes in base64";
    }
    else {
        *why = httpsig_end(&signature);
    }
    return !*why;
}

int usher_httpsig_covers(const usher_httpsig_t *sig, const char *name)
{
    unsigned int i;

    for (i = 0; i < sig->count; ++i) {
        if (httpsig_is(&sig->components[i], name)) {
            return 1;
        }
    }
    return 0;
}

/* "name": value */
static int httpsig_line(char **to, apr_size_t *room, const usher_span_t *name,
                        const usher_span_t *value)
{
    apr_size_t len = name->len + value->len + sizeof("\"\": ") - 1;

    if (name->len > *room || value->len > *room || len > *room) {
        return 0;
    }
    *(*to)++ = '"';
    memcpy(*to, name->text, name->len);
    *to += name->len;
    memcpy(*to, "\": ", 3);
    *to += 3;
    if (value->len) {
        memcpy(*to, value->text, value->len);
    }
    *to += value->len;
    *room -= len;
    return 1;
}

apr_size_t usher_httpsig_base(const usher_httpsig_t *sig, char *to, apr_size_t size,
                              usher_httpsig_find_t *find, void *baton)
{
    static const usher_span_t last = { "@signature-params", sizeof("@signature-params") - 1 };
    apr_size_t room = size;
    usher_span_t value;
    unsigned int i;

    for (i = 0; i < sig->count; ++i) {
        if (!find(baton, sig->components[i], &value)
            || (value.len && (memchr(value.text, '\n', value.len) || memchr(value.text, '\r', value.len)))
            || !httpsig_line(&to, &room, &sig->components[i], &value) || !room) {
            return 0;
        }
        *to++ = '\n';
        --room;
    }
    return httpsig_line(&to, &room, &last, &sig->params) ? size - room : 0;
}

int usher_httpsig_verify(const unsigned char mac[MAC], const unsigned char *key, apr_size_t key_len,
                         const char *base, apr_size_t len)
{
    unsigned char right[EVP_MAX_MD_SIZE];
    unsigned int right_len = 0;
    int ok = HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)base, len, right, &right_len)
             && right_len == MAC && !CRYPTO_memcmp(right, mac, MAC);

    OPENSSL_cleanse(right, sizeof(right));
    return ok;
}

usher_httpsig_digest_e usher_httpsig_digest(usher_span_t field, const void *body, apr_size_t len)
{
    unsigned char said[MAC], right[MAC];
    usher_span_t name, binary;
    int seen = 0;

    do {
        if (!httpsig_label(&field, &name) || !httpsig_binary(&field, &binary)) {
            return USHER_HTTPSIG_DIGEST_BAD;
        }
        if (httpsig_is(&name, "sha-256") && (seen++ || !httpsig_bytes(said, &binary))) {
            return USHER_HTTPSIG_DIGEST_BAD;
        }
        httpsig_skip_blanks(&field);
    } while (httpsig_take(&field, ','));
    if (field.len) {
        return USHER_HTTPSIG_DIGEST_BAD;
    }
    if (!seen) {
        return USHER_HTTPSIG_DIGEST_NONE;
    }
    return SHA256(body, len, right) && !CRYPTO_memcmp(said, right, MAC) ? USHER_HTTPSIG_DIGEST_GOOD
                                                                        : USHER_HTTPSIG_DIGEST_BAD;
}
