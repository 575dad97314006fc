/* Signs requests with a key of UsherRegisterKeys, as usher-member does. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl_sign.h"
#include "usher_regkeys.h"
#include "usher_secret.h"

#define NONCE_BYTES 16
/* In base64, with its padding and NUL. */
#define DIGEST_TEXT_SIZE (4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1)

static int sign_fails(apr_pool_t *p, const char *what, const char *why)
{
    fprintf(stderr, "usherctl: %s: %s\n", ctl_harmless(p, what), ctl_harmless(p, why));
    return CTL_FAILED;
}

/* @param bytes  room for USHER_REGKEYS_FILE_MAX */
static int sign_find_key(apr_pool_t *p, usher_regkey_t *key, char *bytes, const char *path, const char *id)
{
    apr_size_t len = USHER_REGKEYS_FILE_MAX, room, count;
    const usher_regkey_t *found;
    usher_regkeys_error_t error;
    usher_secret_user_t owner;
    usher_regkey_t *keys;
    struct stat info;
    const char *why;
    int code = CTL_DONE;

    if (stat(path, &info) != 0) {
        return sign_fails(p, path, "there is no such file, or it may not be read");
    }
    /* Whom httpd runs as is not known here: owner and group may be anybody. */
    owner.uid = info.st_uid;
    owner.gid = info.st_gid;
    why = usher_secret_read(p, bytes, &len, &info, path, &owner);
    if (why) {
        return sign_fails(p, path, why);
    }
    room = usher_regkeys_room(bytes, len);
    keys = apr_pcalloc(p, room * sizeof(*keys));
    count = usher_regkeys_parse(keys, &error, bytes, len);
    found = count ? usher_regkeys_find(keys, count, id, strlen(id)) : NULL;
    if (!count) {
        code = sign_fails(p, apr_psprintf(p, "%s, line %d", path, error.line), error.reason);
    }
    else if (!found) {
        code = sign_fails(p, path, apr_psprintf(p, "it has no key \"%s\"", id));
    }
    else {
        *key = *found;
    }
    OPENSSL_cleanse(keys, room * sizeof(*keys));
    return code;
}

static int sign_load_key(apr_pool_t *p, usher_regkey_t *key, const char *named)
{
    const char *colon = strrchr(named, ':');
    char *bytes = apr_palloc(p, USHER_REGKEYS_FILE_MAX);
    int code;

    if (!colon || colon == named || !colon[1]) {
        return sign_fails(p, named, "a key is FILE:KEYID, a file of UsherRegisterKeys and the id of a key in it");
    }
    code = sign_find_key(p, key, bytes, apr_pstrmemdup(p, named, (apr_size_t)(colon - named)), colon + 1);
    OPENSSL_cleanse(bytes, USHER_REGKEYS_FILE_MAX);
    return code;
}

/* Host as it is signed: without the scheme's own port (RFC 9421, 2.2.3). */
static const char *sign_authority(apr_pool_t *p, const char *url, const char **path)
{
    const char *host = strstr(url, "://") + 3;
    const char *usual = !strncmp(url, "https", 5) ? ":443" : ":80";
    apr_size_t len = strcspn(host, "/?#");
    char *authority = apr_pstrmemdup(p, host, len), *at;

    *path = host[len] == '/' ? host + len : "/";
    for (at = authority; *at; ++at) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at + 'a' - 'A' : *at);
    }
    at = strrchr(authority, ':');
    if (at && !strcmp(at, usual)) {
        *at = '\0';
    }
    return authority;
}

static const char *sign_base64(apr_pool_t *p, const unsigned char digest[SHA256_DIGEST_LENGTH])
{
    char *text = apr_palloc(p, DIGEST_TEXT_SIZE);

    EVP_EncodeBlock((unsigned char *)text, digest, SHA256_DIGEST_LENGTH);
    return text;
}

static const char *sign_digest(apr_pool_t *p, const char *body)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)body, strlen(body), digest);
    return apr_pstrcat(p, "sha-256=:", sign_base64(p, digest), ":", NULL);
}

static const char *sign_params(apr_pool_t *p, const usher_regkey_t *key, int has_body)
{
    unsigned char nonce[NONCE_BYTES];
    char *text = apr_palloc(p, 2 * NONCE_BYTES + 1);
    int i;

    if (RAND_bytes(nonce, sizeof(nonce)) != 1) {
        return NULL;
    }
    for (i = 0; i < NONCE_BYTES; ++i) {
        snprintf(text + 2 * i, 3, "%02x", nonce[i]);
    }
    return apr_psprintf(p, "(\"@method\" \"@authority\" \"@path\" \"@query\"%s);created=%" APR_INT64_T_FMT ";nonce=\"%s\";"
                        "keyid=\"%s\";alg=\"hmac-sha256\"", has_body ? " \"content-digest\"" : "",
                        (apr_int64_t)time(NULL), text, key->id);
}

static void sign_add(ctl_request_t *request, apr_pool_t *p, const char *name, const char *value)
{
    APR_ARRAY_PUSH(request->headers, const char *) = apr_pstrcat(p, name, ": ", value, NULL);
}

static int sign_with(apr_pool_t *p, ctl_request_t *request, const char *url, const usher_regkey_t *key)
{
    const char *path, *authority = sign_authority(p, url, &path), *query = strchr(path, '?');
    const char *digest = request->body ? sign_digest(p, request->body) : NULL;
    const char *params = sign_params(p, key, digest != NULL);
    const char *base;
    unsigned char mac[SHA256_DIGEST_LENGTH];

    if (!params || strchr(authority, '@')) {
        return sign_fails(p, url, params ? "a name and password do not belong into the URL: --user"
                                         : "the system gives no random bytes");
    }
    base = apr_pstrcat(p, "\"@method\": ", request->method, "\n\"@authority\": ", authority, "\n\"@path\": ",
                       query ? apr_pstrmemdup(p, path, (apr_size_t)(query - path)) : path,
                       "\n\"@query\": ", query ? query : "?",
                       digest ? "\n\"content-digest\": " : "", digest ? digest : "",
                       "\n\"@signature-params\": ", params, NULL);
    HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const unsigned char *)base, strlen(base), mac, NULL);
    if (digest) {
        sign_add(request, p, "Content-Digest", digest);
    }
    sign_add(request, p, "Signature-Input", apr_pstrcat(p, "sig=", params, NULL));
    sign_add(request, p, "Signature", apr_pstrcat(p, "sig=:", sign_base64(p, mac), ":", NULL));
    return CTL_DONE;
}

int ctl_sign(apr_pool_t *p, ctl_request_t *request, const char *url, const char *key)
{
    usher_regkey_t found;
    int code = sign_load_key(p, &found, key);

    if (code == CTL_DONE) {
        code = sign_with(p, request, url, &found);
        OPENSSL_cleanse(&found, sizeof(found));
    }
    return code;
}
