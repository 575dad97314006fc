/* Secrets of AJP: files that members name (UsherRegisterSecret), and those that they send, which are sealed before
 * they go to shared memory or the store (UsherRegisterSealKeys).
 *
 * The files are read by the parent at start and restart. A sealed secret belongs to one member: its id is sealed
 * with it. */
#include <apr_hash.h>
#include <apr_lib.h>
#include <mod_ssl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "register_auth.h"
#include "usher_base64.h"
#include "usher_join.h"
#include "usher_keys.h"

APLOG_USE_MODULE(usher_register);

#define SEALED "sealed:"
#define NAMED "name:"
#define KEY_ID_SIZE 4
#define SECRET_MAX 128
#define HEAD_SIZE (KEY_ID_SIZE + USHER_XAES_NONCE_SIZE)
#define TOKEN_MAX (HEAD_SIZE + SECRET_MAX + USHER_XAES_TAG_SIZE)

_Static_assert(sizeof(SEALED) + USHER_BASE64_SIZE(TOKEN_MAX) <= USHER_ROSTER_SECRET_SIZE,
               "the longest one has room in the roster");

typedef struct {
    const char *path;
    char text[SECRET_MAX + 1]; /* "" as long as it is not read */
} secret_file_t;

static apr_hash_t *files;    /* by name: secret_file_t */
static apr_pool_t *files_pool;
static const char *seal_path; /* NULL: none are taken by value */
static const usher_keys_t *seal_keys;
static APR_OPTIONAL_FN_TYPE(ssl_is_https) *secret_is_https;

static apr_status_t secret_wipe(void *data)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(NULL, files); i; i = apr_hash_next(i)) {
        void *file;

        apr_hash_this(i, NULL, NULL, &file);
        OPENSSL_cleanse(((secret_file_t *)file)->text, sizeof(((secret_file_t *)file)->text));
    }
    return APR_SUCCESS;
}

void register_secret_init(apr_pool_t *pconf)
{
    files = apr_hash_make(pconf);
    files_pool = pconf;
    seal_path = NULL;
    seal_keys = NULL;
    apr_pool_cleanup_register(pconf, NULL, secret_wipe, apr_pool_cleanup_null);
}

const char *register_secret_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *why = register_auth_why_not(cmd, argc, 2, 2, "a name, and the file with the secret");
    secret_file_t *file = apr_pcalloc(files_pool, sizeof(*file));

    if (!why && !usher_regkeys_is_name(argv[0], strlen(argv[0]))) {
        why = apr_psprintf(cmd->pool, "\"%s\": a name is 1 to 63 of A-Z a-z 0-9 . _ -", argv[0]);
    }
    if (!why && apr_hash_get(files, argv[0], APR_HASH_KEY_STRING)) {
        why = apr_psprintf(cmd->pool, "%s: there is a secret of this name already", argv[0]);
    }
    file->path = why ? NULL : ap_server_root_relative(files_pool, argv[1]);
    if (!why && !file->path) {
        why = apr_psprintf(cmd->pool, "\"%s\": is no path", argv[1]);
    }
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    apr_hash_set(files, apr_pstrdup(files_pool, argv[0]), APR_HASH_KEY_STRING, file);
    return NULL;
}

const char *register_secret_set_keys(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    return register_auth_set_path(cmd, argc, argv, &seal_path);
}

/* One line of visible ASCII. */
static const char *secret_take(secret_file_t *file, const char *text, apr_size_t len)
{
    apr_size_t i;

    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        --len;
    }
    for (i = 0; i < len; ++i) {
        if (!apr_isgraph(text[i])) {
            return "is not one line of visible characters without blanks";
        }
    }
    if (!len || len > SECRET_MAX) {
        return "is not a secret of 1 to 128 characters";
    }
    memcpy(file->text, text, len);
    file->text[len] = '\0';
    return NULL;
}

static const char *secret_read(secret_file_t *file, apr_pool_t *p)
{
    usher_secret_user_t user = register_auth_user();
    char text[SECRET_MAX + 16];
    apr_size_t len = sizeof(text);
    struct stat info;
    const char *why = usher_secret_read(p, text, &len, &info, file->path, &user);

    if (!why) {
        why = secret_take(file, text, len);
    }
    OPENSSL_cleanse(text, sizeof(text));
    return why;
}

static const char *secret_read_keys(usher_keyring_t *ring, apr_pool_t *p)
{
    usher_secret_user_t user = register_auth_user();
    char text[USHER_KEYS_FILE_MAX];
    apr_size_t len = sizeof(text);
    struct stat info;
    usher_keys_error_t error;
    const char *why = usher_secret_read(p, text, &len, &info, seal_path, &user);

    if (!why && !usher_keys_parse(ring, &error, text, len)) {
        why = error.line ? apr_psprintf(p, "line %d: %s", error.line, error.reason) : error.reason;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return why;
}

/* All files. Returns how many are wrong. */
static int secret_read_all(apr_pool_t *p, server_rec *s)
{
    apr_hash_index_t *i;
    int wrong = 0;

    for (i = apr_hash_first(p, files); i; i = apr_hash_next(i)) {
        const void *name;
        void *file;
        const char *why;

        apr_hash_this(i, &name, NULL, &file);
        why = secret_read(file, p);
        if (why) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6057)
                         "UsherRegisterSecret %s %s: %s", (const char *)name, ((secret_file_t *)file)->path, why);
            ++wrong;
        }
    }
    return wrong;
}

static int secret_check_keys(usher_keyring_t *ring, apr_pool_t *p, server_rec *s)
{
    const char *why = secret_read_keys(ring, p);

    if (why) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(6058)
                     "UsherRegisterSealKeys %s: %s. \"usherctl keys\" makes and mends such files", seal_path, why);
    }
    return !why;
}

int register_secret_check_config(apr_pool_t *ptemp, server_rec *s)
{
    usher_keyring_t ring;
    int wrong = 0;

    secret_is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    if (usher_conf_may_refuse()) {
        wrong = secret_read_all(ptemp, s);
        wrong += seal_path && !secret_check_keys(&ring, ptemp, s);
        usher_keyring_wipe(&ring);
    }
    return wrong ? !OK : OK;
}

void register_secret_post_config(apr_pool_t *pconf, server_rec *s)
{
    usher_keyring_t ring;

    secret_read_all(pconf, s);
    if (seal_path && secret_check_keys(&ring, pconf, s)) {
        seal_keys = usher_keys_make(pconf, &ring);
    }
    usher_keyring_wipe(&ring);
}

int register_secret_is_known(const char *name)
{
    const secret_file_t *file = apr_hash_get(files, name, APR_HASH_KEY_STRING);

    return file && *file->text;
}

static const char *secret_refuse(register_error_t *error, const char *message)
{
    *error = (register_error_t) { HTTP_BAD_REQUEST, "bad-value", message };
    return NULL;
}

static int secret_is_safe(request_rec *r)
{
    return (secret_is_https && secret_is_https(r->connection)) || register_auth_is_local(r);
}

/* The same on all machines. */
static void secret_put_id(unsigned char *to, apr_uint32_t id)
{
    int i;

    for (i = 0; i < KEY_ID_SIZE; ++i) {
        to[i] = (unsigned char)(id >> (24 - 8 * i));
    }
}

static apr_uint32_t secret_key_id(const unsigned char *from)
{
    return (apr_uint32_t)from[0] << 24 | (apr_uint32_t)from[1] << 16 | (apr_uint32_t)from[2] << 8 | from[3];
}

const char *register_secret_seal(request_rec *r, const unsigned char *id, const char *secret,
                                 register_error_t *error)
{
    unsigned char token[TOKEN_MAX];
    apr_size_t len = strlen(secret), i;
    char *text;

    if (!secret_is_safe(r)) {
        return secret_refuse(error, "a secret is taken by value over TLS only: use https, or secret_name, and change "
                                    "this one, which was readable on its way");
    }
    if (!seal_keys) {
        return secret_refuse(error, "this proxy takes no secrets by value (UsherRegisterSealKeys): use secret_name");
    }
    for (i = 0; i < len && apr_isgraph(secret[i]); ++i) {
    }
    if (!len || len > SECRET_MAX || i < len) {
        return secret_refuse(error, "a secret is 1 to 128 visible characters without blanks");
    }
    secret_put_id(token, seal_keys->ids[0]);
    if (RAND_bytes(token + KEY_ID_SIZE, USHER_XAES_NONCE_SIZE) != 1
        || !usher_xaes_seal(seal_keys->xaes[0], token + HEAD_SIZE, token + KEY_ID_SIZE, id, USHER_ID_SIZE,
                            (const unsigned char *)secret, (int)len)) {
        return secret_refuse(error, "the secret cannot be sealed: libcrypto failed");
    }
    len += HEAD_SIZE + USHER_XAES_TAG_SIZE;
    text = apr_pcalloc(r->pool, sizeof(SEALED) + USHER_BASE64_SIZE(len));
    memcpy(text, SEALED, sizeof(SEALED) - 1);
    usher_base64_encode(text + sizeof(SEALED) - 1, token, len);
    return text;
}

static int secret_unseal(const unsigned char *id, const char *text, char *to, apr_size_t size)
{
    unsigned char token[TOKEN_MAX];
    apr_size_t chars = strlen(text), bytes = chars / 4 * 3 + (chars % 4 ? chars % 4 - 1 : 0), len;
    const usher_keys_t *keys = seal_keys;
    usher_xaes_t *xaes;

    if (!keys || bytes <= HEAD_SIZE + USHER_XAES_TAG_SIZE || bytes > TOKEN_MAX || chars % 4 == 1
        || !usher_base64_decode(token, bytes, text)) {
        return 0;
    }
    len = bytes - HEAD_SIZE - USHER_XAES_TAG_SIZE;
    xaes = usher_keys_find(keys, secret_key_id(token));
    if (!xaes || len >= size
        || !usher_xaes_open(xaes, (unsigned char *)to, token + KEY_ID_SIZE, id, USHER_ID_SIZE, token + HEAD_SIZE,
                            (int)len)) {
        return 0;
    }
    to[len] = '\0';
    return 1;
}

static int usher_register_open_secret(const unsigned char *id, const char *secret, char *text,
                                      apr_size_t size)
{
    const secret_file_t *file;

    if (!strncmp(secret, SEALED, sizeof(SEALED) - 1)) {
        return secret_unseal(id, secret + sizeof(SEALED) - 1, text, size);
    }
    if (strncmp(secret, NAMED, sizeof(NAMED) - 1) != 0) {
        return 0;
    }
    file = apr_hash_get(files, secret + sizeof(NAMED) - 1, APR_HASH_KEY_STRING);
    if (!file || !*file->text || strlen(file->text) >= size) {
        return 0;
    }
    apr_cpystrn(text, file->text, size);
    return 1;
}

void register_secret_offer(void)
{
    APR_REGISTER_OPTIONAL_FN(usher_register_open_secret);
}
