/* Key files: their lines, and changes of them. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "usher_base64.h"
#include "usher_secret.h"

/* Id, blank, base64, line end */
#define KEY_LINE (8 + 1 + USHER_BASE64_SIZE(USHER_XAES_KEY_SIZE) + 1)

void keys_text_wipe(keys_text_t *text)
{
    OPENSSL_cleanse(text, sizeof(*text));
}

void keys_text_begin(keys_text_t *text, const char *path)
{
    static const char head[] = "# Keys of sticky cookies: the first one seals, all open.\n"
                               "# Secret. See: usherctl keys --help\n";

    memset(text, 0, sizeof(*text));
    text->path = path;
    memcpy(text->bytes, head, sizeof(head) - 1);
    text->len = sizeof(head) - 1;
}

/* Where the keys are: their lines are those that have something and are no comments. */
static int text_index(apr_pool_t *p, keys_text_t *text)
{
    usher_keys_error_t error;
    apr_size_t at, next;
    int n = 0;

    if (!usher_keys_parse(&text->ring, &error, text->bytes, text->len)) {
        return error.line ? keys_fails(p, text->path, "line %d: %s", error.line, error.reason)
                          : keys_fails(p, text->path, "%s", error.reason);
    }
    for (at = 0; at < text->len; at = next) {
        apr_size_t first = at + strspn(text->bytes + at, " \t\r");

        next = at + strcspn(text->bytes + at, "\n") + 1;
        if (text->bytes[first] != '\n' && text->bytes[first] != '#') {
            text->lines[n].from = at;
            text->lines[n++].to = next;
        }
    }
    return CTL_DONE;
}

/* The bytes of a file that nobody else may open. */
static int text_load(apr_pool_t *p, keys_text_t *text)
{
    apr_size_t room = USHER_KEYS_FILE_MAX;
    usher_secret_user_t owner;
    const char *why;

    if (stat(text->path, &text->info) != 0) {
        return keys_fails(p, text->path, "%s", strerror(errno));
    }
    /* Whom httpd runs as is not known here: owner and group may be anybody. */
    owner.uid = text->info.st_uid;
    owner.gid = text->info.st_gid;
    text->len = room;
    why = usher_secret_read(p, text->bytes, &text->len, &text->info, text->path, &owner);
    if (why) {
        return keys_fails(p, text->path, "%s", why);
    }
    if (memchr(text->bytes, 0, text->len)) {
        return keys_fails(p, text->path, "not a file of text: there are zero bytes in it");
    }
    if (text->len && text->bytes[text->len - 1] != '\n') {
        text->bytes[text->len++] = '\n';
    }
    text->bytes[text->len] = '\0';
    return CTL_DONE;
}

int keys_text_read(apr_pool_t *p, keys_text_t *text, const char *path)
{
    char *real = realpath(path, NULL);

    memset(text, 0, sizeof(*text));
    if (!real) {
        return keys_fails(p, path, "%s", strerror(errno));
    }
    text->path = apr_pstrdup(p, real);
    free(real);
    return text_load(p, text) == CTL_DONE ? text_index(p, text) : CTL_FAILED;
}

static void text_cut(keys_text_t *text, const keys_line_t *line)
{
    memmove(text->bytes + line->from, text->bytes + line->to, text->len - line->to + 1);
    text->len -= line->to - line->from;
}

static void text_insert(keys_text_t *text, apr_size_t at, const char *line, apr_size_t len)
{
    memmove(text->bytes + at + len, text->bytes + at, text->len - at + 1);
    memcpy(text->bytes + at, line, len);
    text->len += len;
}

static int text_has(const keys_text_t *text, apr_uint32_t id)
{
    int i;

    for (i = 0; i < text->ring.count; ++i) {
        if (text->ring.keys[i].id == id) {
            return 1;
        }
    }
    return 0;
}

int keys_text_add(apr_pool_t *p, keys_text_t *text, int before)
{
    apr_size_t at = before < text->ring.count ? text->lines[before].from : text->len;
    usher_keyring_t fresh;
    char line[KEY_LINE + 1];

    if (text->ring.count == USHER_KEYS_MAX || text->len + KEY_LINE > USHER_KEYS_FILE_MAX) {
        return keys_fails(p, text->path, "has no room for one more key: remove old ones");
    }
    do {
        if (!usher_keyring_make(&fresh)) {
            return keys_fails(p, text->path, "the system gives no random bytes");
        }
    } while (text_has(text, fresh.keys[0].id));
    snprintf(line, sizeof(line), "%08x ", fresh.keys[0].id);
    usher_base64_encode(line + 9, fresh.keys[0].bytes, USHER_XAES_KEY_SIZE);
    line[KEY_LINE - 1] = '\n';
    text_insert(text, at, line, KEY_LINE);
    OPENSSL_cleanse(line, sizeof(line));
    usher_keyring_wipe(&fresh);
    return text_index(p, text);
}

int keys_text_remove(apr_pool_t *p, keys_text_t *text, int i)
{
    text_cut(text, &text->lines[i]);
    return text_index(p, text);
}

int keys_text_promote(apr_pool_t *p, keys_text_t *text, int i)
{
    apr_size_t first = text->lines[0].from;
    keys_line_t moved = text->lines[i];
    char line[USHER_KEYS_FILE_MAX];
    apr_size_t len = moved.to - moved.from;

    memcpy(line, text->bytes + moved.from, len);
    text_cut(text, &moved);
    text_insert(text, first, line, len);
    OPENSSL_cleanse(line, sizeof(line));
    return text_index(p, text);
}
