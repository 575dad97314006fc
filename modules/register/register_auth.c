/* Who asks: a signature (RFC 9421) or a client certificate tells.
 *
 * Cheap checks come first: what the signature covers, the host, the time; then the signature itself, and only of
 * what is signed the body's digest and the nonce. An unknown key takes the same way as a wrong signature: it is
 * compared to one that a key makes which nobody has. */
#include "register_auth.h"

#include <apr_lib.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_vhost.h>
#include <unixd.h>

#include "usher_clock.h"
#include "usher_httpsig.h"

APLOG_USE_MODULE(usher_register);

#define ALGORITHM "hmac-sha256"
#define NONCE_MIN 16
#define NONCE_MAX 64
/* Of what is signed: components of a request are short. */
#define BASE_MAX 8192

/* A signature of a request. */
typedef struct {
    request_rec *r;
    usher_httpsig_t sig;
    unsigned char mac[USHER_HTTPSIG_MAC_SIZE];
    const char *authority;
    const char *body;
    apr_size_t body_len;
    register_error_t *error;
} auth_signed_t;

apr_int64_t register_auth_now(void)
{
    return usher_clock_system()->boot_now() / 1000;
}

usher_secret_user_t register_auth_user(void)
{
    usher_secret_user_t user = { geteuid(), getegid() };

    if (user.uid == 0) {
        user.uid = ap_unixd_config.user_id;
        user.gid = ap_unixd_config.group_id;
    }
    return user;
}

const char *register_auth_why_not(cmd_parms *cmd, int argc, int least, int most, const char *takes)
{
    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return "belongs outside of all sections";
    }
    return argc < least || argc > most ? apr_pstrcat(cmd->pool, "takes ", takes, NULL) : NULL;
}

const char *register_auth_set_path(cmd_parms *cmd, int argc, char *const argv[], const char **path)
{
    const char *why = register_auth_why_not(cmd, argc, 1, 1, "one argument, the name of a key file");
    const char *file = why ? NULL : ap_server_root_relative(cmd->pool, argv[0]);

    if (!why && !file) {
        why = apr_psprintf(cmd->pool, "\"%s\": is no path", argv[0]);
    }
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    *path = file;
    return NULL;
}

usher_cidr_address_t register_auth_address(const apr_sockaddr_t *address)
{
    return usher_cidr_address(address->ipaddr_ptr, (apr_size_t)address->ipaddr_len);
}

int register_auth_is_local(const request_rec *r)
{
    return register_address_is_loopback(register_auth_address(r->connection->client_addr))
           && register_address_is_loopback(register_auth_address(r->useragent_addr));
}

static int auth_fails(auth_signed_t *call, int status, const char *code, const char *message)
{
    *call->error = (register_error_t) { status, code, message };
    return 0;
}

static int auth_bad(auth_signed_t *call, const char *message)
{
    return auth_fails(call, HTTP_UNAUTHORIZED, "bad-signature", message);
}

static usher_span_t auth_span(const char *text)
{
    return (usher_span_t) { text, strlen(text) };
}

/* The fields are read as far as can be done without knowing anything. */
static int auth_read(auth_signed_t *call)
{
    const char *input = apr_table_get(call->r->headers_in, "Signature-Input");
    const char *signature = apr_table_get(call->r->headers_in, "Signature");
    const char *why;

    if (!input || !signature) {
        return auth_fails(call, HTTP_UNAUTHORIZED, "unsigned",
                          "the request has no signature: Signature-Input and Signature (RFC 9421)");
    }
    if (!usher_httpsig_parse(&call->sig, &why, auth_span(input))) {
        return auth_bad(call, apr_pstrcat(call->r->pool, "Signature-Input: ", why, NULL));
    }
    if (!usher_httpsig_parse_mac(call->mac, &call->sig, &why, auth_span(signature))) {
        return auth_bad(call, apr_pstrcat(call->r->pool, "Signature: ", why, NULL));
    }
    return 1;
}

static int auth_is_nonce(usher_span_t nonce)
{
    apr_size_t i;

    for (i = 0; i < nonce.len && apr_isgraph(nonce.text[i]); ++i) {
    }
    return i == nonce.len && nonce.len >= NONCE_MIN && nonce.len <= NONCE_MAX;
}

static int auth_covers(auth_signed_t *call)
{
    static const char *const needed[] = { "@method", "@authority", "@path", "@query", "content-digest" };
    const usher_httpsig_t *sig = &call->sig;
    apr_size_t i, n = sizeof(needed) / sizeof(needed[0]) - !call->body_len;

    for (i = 0; i < n; ++i) {
        if (!usher_httpsig_covers(sig, needed[i])) {
            return auth_bad(call, apr_pstrcat(call->r->pool, "the signature does not cover ", needed[i], NULL));
        }
    }
    if (sig->created == USHER_HTTPSIG_NEVER || !sig->nonce.text || !sig->keyid.text) {
        return auth_bad(call, "the signature needs the parameters created, nonce and keyid");
    }
    if (sig->alg.text && (sig->alg.len != sizeof(ALGORITHM) - 1
                          || memcmp(sig->alg.text, ALGORITHM, sizeof(ALGORITHM) - 1) != 0)) {
        return auth_bad(call, "the only algorithm here is hmac-sha256");
    }
    return auth_is_nonce(sig->nonce) || auth_bad(call, "a nonce has 16 to 64 characters, none of them a blank");
}

static int auth_is_fresh(auth_signed_t *call)
{
    apr_int64_t now = usher_clock_system()->utc_now() / APR_USEC_PER_SEC;
    apr_int64_t skew = register_core->clock_skew() / APR_USEC_PER_SEC;
    apr_int64_t created = call->sig.created, expires = call->sig.expires;

    if (created > now + skew || created < now - skew) {
        return auth_fails(call, HTTP_UNAUTHORIZED, "stale",
                          "the signature was not made within UsherClockSkew of this machine's time, which "
                          "is in Date: set the clock");
    }
    if (expires != USHER_HTTPSIG_NEVER && (expires < now || expires < created)) {
        return auth_fails(call, HTTP_UNAUTHORIZED, "stale", "the signature has expired");
    }
    return 1;
}

/* A host that is an address: that which the connection came to. */
static int auth_is_own_address(const request_rec *r, const char *host)
{
    usher_cidr_range_t range;
    usher_cidr_address_t local = register_auth_address(r->connection->local_addr);

    return !strchr(host, '/') && usher_cidr_parse(&range, host, strlen(host)) && usher_cidr_range_has(&range, local);
}

static int auth_is_own_port(const request_rec *r, apr_port_t port)
{
    return port == r->connection->local_addr->port || port == r->server->port;
}

/* The host that was asked for is one of ours, so that what was signed for another proxy is not
 * taken here. @return 1, and call->authority is as it is signed; 0: error */
static int auth_is_ours(auth_signed_t *call)
{
    request_rec *r = call->r;
    const char *host = apr_table_get(r->headers_in, "Host");
    apr_port_t own = ap_default_port(r), port;
    char *name, *scope, *authority;

    if (!host || !*host || apr_parse_addr_port(&name, &scope, &port, host, r->pool) != APR_SUCCESS || !name || scope) {
        return auth_bad(call, "the request names no host");
    }
    authority = apr_pstrdup(r->pool, host);
    ap_str_tolower(authority);
    if (port == own || !port) { /* as RFC 9421, 2.2.3 has it */
        char *colon = strrchr(authority, ':');

        if (port && colon) {
            *colon = '\0';
        }
        port = own;
    }
    call->authority = authority;
    if (auth_is_own_port(r, port)
        && (auth_is_own_address(r, name) || ap_matches_request_vhost(r, name, r->server->port))) {
        return 1;
    }
    return auth_bad(call, "the host that was signed is neither a name of this virtual host (ServerName, ServerAlias) "
                          "nor the address and port that the request came to");
}

static int auth_find(void *baton, usher_span_t name, usher_span_t *value)
{
    const auth_signed_t *call = baton;
    request_rec *r = call->r;
    const char *uri = r->unparsed_uri, *query = strchr(uri, '?');
    const char *text;

    if (name.len == 7 && !memcmp(name.text, "@method", 7)) {
        *value = auth_span(r->method);
        return 1;
    }
    if (name.len == 10 && !memcmp(name.text, "@authority", 10)) {
        *value = auth_span(call->authority);
        return 1;
    }
    if (name.len == 5 && !memcmp(name.text, "@path", 5)) {
        *value = query ? (usher_span_t) { uri, (apr_size_t)(query - uri) } : auth_span(uri);
        return *uri == '/';
    }
    if (name.len == 6 && !memcmp(name.text, "@query", 6)) {
        *value = auth_span(query ? query : "?");
        return 1;
    }
    text = *name.text == '@' ? NULL
                             : apr_table_get(r->headers_in, apr_pstrmemdup(r->pool, name.text, name.len));
    if (!text) {
        return 0;
    }
    *value = auth_span(text);
    while (value->len && apr_isspace(*value->text)) {
        ++value->text;
        --value->len;
    }
    while (value->len && apr_isspace(value->text[value->len - 1])) {
        --value->len;
    }
    return 1;
}

/* The signature itself. */
static int auth_verify(auth_signed_t *call, register_key_t *key)
{
    int known = register_keys_find(key, call->sig.keyid), right;
    char base[BASE_MAX];
    apr_size_t len = usher_httpsig_base(&call->sig, base, sizeof(base), auth_find, call);

    if (!len) {
        return auth_bad(call, "the signature covers what the request does not have, or what is not known here");
    }
    right = usher_httpsig_verify(call->mac, key->secret, key->secret_len, base, len);
    if (known && right) {
        return 1;
    }
    return known ? auth_bad(call, "the signature does not fit: another secret, or the request was changed on its way")
                 : auth_fails(call, HTTP_UNAUTHORIZED, "unknown-key", "there is no key of this id");
}

static int auth_fits_body(auth_signed_t *call)
{
    const char *field = apr_table_get(call->r->headers_in, "Content-Digest");

    if (!usher_httpsig_covers(&call->sig, "content-digest")) {
        return 1; /* no body: auth_covers() has seen to it */
    }
    switch (usher_httpsig_digest(auth_span(field ? field : ""), call->body, call->body_len)) {
    case USHER_HTTPSIG_DIGEST_GOOD:
        return 1;
    case USHER_HTTPSIG_DIGEST_NONE:
        return auth_fails(call, HTTP_UNAUTHORIZED, "bad-digest", "Content-Digest has no sha-256 (RFC 9530)");
    default:
        return auth_fails(call, HTTP_UNAUTHORIZED, "bad-digest", "Content-Digest does not fit the body");
    }
}

static int auth_signature(auth_signed_t *call, register_failer_t *failer, register_who_t *who)
{
    register_key_t key;

    if (!auth_read(call)) {
        return 0;
    }
    failer->keyid = call->sig.keyid;
    if (register_failures_too_many(failer)) {
        return auth_fails(call, HTTP_TOO_MANY_REQUESTS, "too-many-failures",
                          "too many requests from this address were refused: wait a minute");
    }
    if (!auth_covers(call) || !auth_is_ours(call) || !auth_is_fresh(call) || !auth_verify(call, &key)
        || !auth_fits_body(call)
        || !register_nonce_use(call->r, who, call->sig.keyid, call->sig.nonce, call->error)) {
        return 0;
    }
    who->name = apr_pstrdup(call->r->pool, key.id);
    who->policy = key.policy;
    who->created = (apr_uint32_t)call->sig.created;
    return 1;
}

static int auth_certificate(auth_signed_t *call, register_who_t *who)
{
    return register_certificate_find(call->r, who)
           || auth_fails(call, HTTP_UNAUTHORIZED, "unknown-key",
                         "no UsherRegisterCertificate has a name of the client's certificate");
}

/* A signature counts where there is one. */
static int auth_any(auth_signed_t *call, register_failer_t *failer, register_who_t *who)
{
    request_rec *r = call->r;

    if (!register_keys_are_there() && !register_certificate_are_there()) {
        return auth_fails(call, HTTP_SERVICE_UNAVAILABLE, "no-keys",
                          "nobody can show here who he is: neither UsherRegisterKeys nor UsherRegisterCertificate");
    }
    if (!apr_table_get(r->headers_in, "Signature-Input") && register_certificate_is_shown(r)) {
        return auth_certificate(call, who);
    }
    return auth_signature(call, failer, who);
}

/* For the log: what somebody says that he is. */
static const char *auth_named(const request_rec *r, usher_span_t keyid)
{
    return keyid.text && usher_regkeys_is_name(keyid.text, keyid.len)
               ? apr_pstrcat(r->pool, "somebody with the key id ", apr_pstrmemdup(r->pool, keyid.text, keyid.len), NULL)
               : NULL;
}

int register_auth(request_rec *r, const char *body, apr_size_t len, register_who_t *who,
                  register_error_t *error)
{
    auth_signed_t call = { .r = r, .body = body, .body_len = len, .error = error };
    register_failer_t failer = { r, { NULL, 0 } };

    memset(who, 0, sizeof(*who));
    if (auth_any(&call, &failer, who)) {
        register_failures_good(&failer);
        return OK;
    }
    if (error->status == HTTP_UNAUTHORIZED) {
        register_failures_count(&failer);
    }
    if (error->status == HTTP_TOO_MANY_REQUESTS) {
        apr_table_setn(r->headers_out, "Retry-After", "60");
    }
    register_failures_log(r, auth_named(r, failer.keyid), error);
    return error->status;
}

void register_auth_pre_config(apr_pool_t *pconf)
{
    register_policy_init(pconf);
    register_keys_init();
    register_certificate_init(pconf);
    register_nonce_init();
    register_failures_init();
    register_secret_init(pconf);
}

int register_auth_check_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    int wrong = register_keys_check_config(pconf, ptemp, s) != OK;

    wrong |= register_certificate_check_config(s) != OK;
    wrong |= register_secret_check_config(ptemp, s) != OK;
    wrong |= register_nonce_check_config(s) != OK;
    register_failures_check_config();
    return wrong ? !OK : OK;
}

void register_auth_post_config(apr_pool_t *pconf, server_rec *s)
{
    register_address_learn(pconf);
    register_keys_post_config(pconf, s);
    register_secret_post_config(pconf, s);
    register_failures_post_config();
}

void register_auth_child_init(apr_pool_t *pchild, server_rec *s)
{
    register_keys_child_init(pchild, s);
}
