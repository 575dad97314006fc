/* Key files of registration. No message holds anything of the file, which may be the wrong one. */
#include "usher_regkeys.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "usher_base64.h"
#include "usher_cookie.h"

static int regkeys_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

int usher_regkeys_is_name(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        char c = text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.'
            && c != '_' && c != '-') {
            return 0;
        }
    }
    return len && len <= USHER_REGKEYS_NAME_MAX;
}

apr_size_t usher_regkeys_room(const char *text, apr_size_t len)
{
    apr_size_t i, lines = 1;

    for (i = 0; i < len && lines < USHER_REGKEYS_MAX; ++i) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* The next word of a line. */
static usher_span_t regkeys_word(const char **at, const char *end)
{
    usher_span_t word;

    while (*at < end && regkeys_is_blank(**at)) {
        ++*at;
    }
    word.text = *at;
    while (*at < end && !regkeys_is_blank(**at)) {
        ++*at;
    }
    word.len = (apr_size_t)(*at - word.text);
    return word;
}

static const char *regkeys_secret(usher_regkey_t *key, usher_span_t word)
{
    char url[USHER_BASE64_SIZE(USHER_REGKEYS_SECRET_MAX)];
    apr_size_t padding = 0, i, bytes;
    int ok;

    while (padding < 2 && word.len && word.text[word.len - 1] == '=') {
        --word.len;
        ++padding;
    }
    bytes = word.len / 4 * 3 + (word.len % 4 ? word.len % 4 - 1 : 0);
    if (bytes < USHER_REGKEYS_SECRET_MIN || bytes > USHER_REGKEYS_SECRET_MAX || word.len % 4 == 1
        || (padding && (word.len + padding) % 4)) {
        return "the secret is not 16 to 64 bytes in base64: \"usherctl register-key\" makes one";
    }
    for (i = 0; i < word.len; ++i) {
        char c = word.text[i];

        url[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    ok = usher_base64_decode(key->secret, bytes, url);
    OPENSSL_cleanse(url, sizeof(url));
    key->secret_len = (apr_uint32_t)bytes;
    return ok ? NULL : "the secret is not base64";
}

static const char *regkeys_line(usher_regkey_t *key, const char *at, const char *end)
{
    usher_span_t id = regkeys_word(&at, end), secret = regkeys_word(&at, end),
                 policy = regkeys_word(&at, end);

    if (!policy.len || regkeys_word(&at, end).len) {
        return "takes an id, a secret in base64, and the name of a policy";
    }
    if (!usher_regkeys_is_name(id.text, id.len)) {
        return "the id is not 1 to 63 of A-Z a-z 0-9 . _ -";
    }
    if (!usher_regkeys_is_name(policy.text, policy.len)) {
        return "the policy's name is not 1 to 63 of A-Z a-z 0-9 . _ -";
    }
    memset(key, 0, sizeof(*key));
    memcpy(key->id, id.text, id.len);
    memcpy(key->policy, policy.text, policy.len);
    return regkeys_secret(key, secret);
}

static int regkeys_compare(const void *a, const void *b)
{
    return strcmp(((const usher_regkey_t *)a)->id, ((const usher_regkey_t *)b)->id);
}

/* Sorts them. Returns what is wrong, or NULL. */
static const char *regkeys_order(usher_regkey_t *keys, apr_size_t count, int *line)
{
    apr_size_t i;

    qsort(keys, count, sizeof(*keys), regkeys_compare);
    for (i = 1; i < count; ++i) {
        if (!strcmp(keys[i].id, keys[i - 1].id)) {
            *line = keys[i].line > keys[i - 1].line ? keys[i].line : keys[i - 1].line;
            return "this id stands above already";
        }
    }
    return NULL;
}

apr_size_t usher_regkeys_parse(usher_regkey_t *keys, usher_regkeys_error_t *error, const char *text,
                               apr_size_t len)
{
    const char *at = text, *end = text + len;
    apr_size_t count = 0;
    int line = 0;

    error->reason = len > USHER_REGKEYS_FILE_MAX ? "is larger than 2 MB: this is no key file" : NULL;
    while (at < end && !error->reason) {
        const char *line_end = memchr(at, '\n', (apr_size_t)(end - at));
        const char *first;

        line_end = line_end ? line_end : end;
        first = regkeys_word(&at, line_end).text;
        ++line;
        if (first < line_end && *first != '#' && count == USHER_REGKEYS_MAX) {
            error->reason = "has more than 10000 keys";
        }
        else if (first < line_end && *first != '#') {
            error->reason = regkeys_line(&keys[count], first, line_end);
            keys[count++].line = line;
        }
        at = line_end < end ? line_end + 1 : end;
    }
    error->line = error->reason ? line : 0;
    if (!error->reason && !count) {
        error->reason = "has no key";
    }
    if (!error->reason) {
        error->reason = regkeys_order(keys, count, &error->line);
    }
    return error->reason ? 0 : count;
}

static int regkeys_compare_id(const void *id, const void *key)
{
    return strcmp(id, ((const usher_regkey_t *)key)->id);
}

const usher_regkey_t *usher_regkeys_find(const usher_regkey_t *keys, apr_size_t count, const char *id,
                                         apr_size_t len)
{
    char wanted[USHER_REGKEYS_NAME_MAX + 1];

    if (!count || len > USHER_REGKEYS_NAME_MAX || memchr(id, '\0', len)) {
        return NULL;
    }
    memcpy(wanted, id, len);
    wanted[len] = '\0';
    return bsearch(wanted, keys, count, sizeof(*keys), regkeys_compare_id);
}
