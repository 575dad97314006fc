/* The directives of sticky sessions, and what is made of them for requests. */
#include <openssl/sha.h>

#include "usher_options.h"

#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

#define SECOND APR_USEC_PER_SEC
#define YEAR   (APR_TIME_C(366) * 86400 * SECOND)
#define FIELD(name) APR_OFFSETOF(balancer_cookie_conf_t, name)
/* How long a session counts as seen where the cookie has no idle=. ms */
#define WINDOW (30 * 60 * 1000)
#define NAME_MAX_LEN 128
#define TEXT_MAX_LEN 1024

static const char *const switch_words[] = { "off", "on", NULL };
static const char *const secure_words[] = { "auto", "on", "off", NULL };
static const char *const same_site_words[] = { "Lax", "Strict", "None", "off", NULL };

#define SWITCH(name) { #name, USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(name), switch_words }

static const usher_option_t cookie_options[] = {
    { "path", USHER_OPTION_TEXT, 0, 1, TEXT_MAX_LEN, "1 to 1024 characters", FIELD(path), NULL },
    { "domain", USHER_OPTION_TEXT, 0, 1, 254, "the name of a domain", FIELD(domain), NULL },
    { "secure", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(secure), secure_words },
    SWITCH(httponly),
    { "samesite", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(same_site), same_site_words },
    { "attribute", USHER_OPTION_TEXT, 0, 1, TEXT_MAX_LEN, "1 to 1024 characters",
      FIELD(attribute), NULL },
    SWITCH(indirect),
    SWITCH(nocache),
    SWITCH(postonly),
    SWITCH(preserve),
    { "idle", USHER_OPTION_DURATION, 1, SECOND, YEAR, "1s to 366d, or off", FIELD(idle), NULL },
    { "life", USHER_OPTION_DURATION, 1, SECOND, YEAR, "1s to 366d, or off", FIELD(life), NULL },
    { NULL }
};

/* What browsers demand of names that begin so; they ignore the cookie else. */
static const char *conf_check_prefix(const balancer_cookie_conf_t *conf)
{
    if (!ap_cstr_casecmpn(conf->name, "__Host-", 7)
        && (conf->secure != BALANCER_SECURE_ON || conf->domain || strcmp(conf->path, "/") != 0)) {
        return "browsers take a cookie whose name begins with __Host- only with secure=on, path=/ "
               "and without domain=";
    }
    if (!ap_cstr_casecmpn(conf->name, "__Secure-", 9) && conf->secure != BALANCER_SECURE_ON) {
        return "browsers take a cookie whose name begins with __Secure- only with secure=on";
    }
    return NULL;
}

static const char *conf_check_cookie(apr_pool_t *p, const balancer_cookie_conf_t *conf)
{
    if (*conf->path != '/' || !usher_cookie_is_attribute(conf->path, strlen(conf->path))) {
        return apr_psprintf(p, "\"path=%s\": begins with / and has no ; in it", conf->path);
    }
    if (conf->domain && !usher_cookie_is_domain(conf->domain, strlen(conf->domain))) {
        return apr_psprintf(p, "\"domain=%s\": takes the name of a domain, such as .example.com",
                            conf->domain);
    }
    if (conf->attribute && !usher_cookie_is_attribute(conf->attribute, strlen(conf->attribute))) {
        return apr_psprintf(p, "\"attribute=%s\": takes one attribute, without a ;, such as "
                            "Partitioned", conf->attribute);
    }
    if (conf->same_site == BALANCER_SAME_SITE_NONE && conf->secure == BALANCER_SECURE_OFF) {
        return "\"samesite=None\": browsers take it only with secure=on or secure=auto";
    }
    return conf_check_prefix(conf);
}

const char *balancer_sticky_set_cookie(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_conf_t *conf = dir;
    balancer_cookie_conf_t cookie = { .path = "/", .httponly = 1, .indirect = 1, .nocache = 1 };
    const char *reason = balancer_conf_why_not_here(cmd);

    if (!reason && argc < 1) {
        reason = "takes off, or the cookie's name and options";
    }
    if (!reason && argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        cookie.name = "";
    }
    else if (!reason) {
        cookie.name = argv[0];
        if (!usher_cookie_is_name(argv[0], strlen(argv[0])) || strlen(argv[0]) > NAME_MAX_LEN) {
            reason = apr_psprintf(cmd->pool, "\"%s\": a cookie's name is made of letters, digits "
                                  "and !#$%%&'*+-.^_`|~, 128 at most", argv[0]);
        }
        else if (argc > 1) {
            reason = usher_options_set(cmd->pool, &cookie, sizeof(cookie), cookie_options,
                                       argc - 1, argv + 1);
        }
        reason = reason ? reason : conf_check_cookie(cmd->pool, &cookie);
    }
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    conf->sticky.cookie = cookie;
    return NULL;
}

typedef struct {
    const char *url, *separator;
} conf_follow_t;

static const usher_option_t follow_options[] = {
    { "url", USHER_OPTION_TEXT, 0, 1, NAME_MAX_LEN, "the name of a parameter, or off",
      APR_OFFSETOF(conf_follow_t, url), NULL },
    { "separator", USHER_OPTION_TEXT, 0, 1, 1, "one character",
      APR_OFFSETOF(conf_follow_t, separator), NULL },
    { NULL }
};

/* As Tomcat has it: JSESSIONID, and jsessionid in URLs. */
static const char *conf_lower(apr_pool_t *p, const char *text)
{
    char *lower = apr_pstrdup(p, text);

    ap_str_tolower(lower);
    return lower;
}

const char *balancer_sticky_set_follow(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_conf_t *conf = dir;
    conf_follow_t follow = { NULL, "." };
    const char *reason = balancer_conf_why_not_here(cmd);

    if (!reason && argc < 1) {
        reason = "takes off, or the name of the application's cookie and options";
    }
    if (!reason && !usher_cookie_is_name(argv[0], strlen(argv[0]))) {
        reason = apr_psprintf(cmd->pool, "\"%s\": is no name of a cookie", argv[0]);
    }
    if (!reason && argc > 1) {
        reason = usher_options_set(cmd->pool, &follow, sizeof(follow), follow_options, argc - 1,
                                   argv + 1);
    }
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    memset(&conf->sticky.follow, 0, sizeof(conf->sticky.follow));
    conf->sticky.follow.cookie = ap_cstr_casecmp(argv[0], "off") ? argv[0] : "";
    if (!follow.url || ap_cstr_casecmp(follow.url, "off")) {
        conf->sticky.follow.url = follow.url ? follow.url : conf_lower(cmd->pool, argv[0]);
    }
    conf->sticky.follow.separator = *follow.separator;
    return NULL;
}

const char *balancer_sticky_set_scope(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_conf_t *conf = dir;
    const char *reason = balancer_conf_why_not_here(cmd);

    if (!reason && (argc != 1 || !*argv[0])) {
        reason = "takes one text, such as the site's name; the same on all nodes";
    }
    if (reason) {
        return usher_conf_refuse(cmd, reason);
    }
    conf->sticky.scope = argv[0];
    return NULL;
}

void balancer_sticky_conf_merge(balancer_sticky_conf_t *to, const balancer_sticky_conf_t *base,
                                const balancer_sticky_conf_t *add)
{
    to->cookie = add->cookie.name ? add->cookie : base->cookie;
    to->follow = add->follow.cookie ? add->follow : base->follow;
    to->scope = add->scope ? add->scope : base->scope;
}

/* Whether a list of directives has a ServerName. */
static int conf_has_name(const ap_directive_t *list)
{
    for (; list; list = list->next) {
        if (!ap_cstr_casecmp(list->directive, "ServerName")) {
            return 1;
        }
    }
    return 0;
}

/* httpd makes a name up where none is said: of the machine, or of an address. */
static int conf_is_named(const server_rec *s)
{
    const ap_directive_t *at;

    if (!s->is_virtual) {
        return conf_has_name(ap_conftree);
    }
    for (at = ap_conftree; at; at = at->next) {
        if (!ap_cstr_casecmp(at->directive, "<VirtualHost") && s->defn_name
            && at->line_num == (int)s->defn_line_number && !strcmp(at->filename, s->defn_name)) {
            return conf_has_name(at->first_child);
        }
    }
    return 1;
}

void balancer_sticky_check(const balancer_sticky_conf_t *conf, const char *cluster, server_rec *s)
{
    if (conf->cookie.name && *conf->cookie.name && !conf->cookie.domain && !conf->scope
        && !conf_is_named(s)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(3032)
                     "%s: its cookies hold for the name that httpd made up for this server, \"%s\": "
                     "another node may have another one. Set ServerName, or UsherStickyScope in "
                     "<Proxy %s>", cluster, s->server_hostname ? s->server_hostname : "", cluster);
    }
}

/* Each text with its length before it: no two pairs look the same. */
static void conf_make_aad(unsigned char *aad, const char *cluster, const char *scope,
                          apr_pool_t *p)
{
    const char *text = apr_psprintf(p, "usher sticky %" APR_SIZE_T_FMT ":%s %" APR_SIZE_T_FMT ":%s",
                                    strlen(cluster), cluster, strlen(scope), scope);

    SHA256((const unsigned char *)text, strlen(text), aad);
}

static const char *conf_scope(const balancer_sticky_conf_t *conf, const server_rec *s,
                              apr_pool_t *p)
{
    if (conf->scope) {
        return conf->scope;
    }
    if (conf->cookie.domain) {
        return conf_lower(p, conf->cookie.domain + (*conf->cookie.domain == '.'));
    }
    return conf_lower(p, s->server_hostname ? s->server_hostname : "");
}

/* SameSite=None without Secure is a cookie that browsers refuse. */
static void conf_make_attributes(usher_span_t *attributes, const balancer_cookie_conf_t *conf,
                                 int secure, apr_pool_t *p)
{
    int same_site = conf->same_site == BALANCER_SAME_SITE_NONE && !secure
                        ? BALANCER_SAME_SITE_OFF : conf->same_site;

    attributes->text = apr_pstrcat(
        p, "; Path=", conf->path, conf->domain ? "; Domain=" : "", conf->domain ? conf->domain : "",
        secure ? "; Secure" : "", conf->httponly ? "; HttpOnly" : "",
        same_site == BALANCER_SAME_SITE_OFF ? "" : "; SameSite=",
        same_site == BALANCER_SAME_SITE_OFF ? "" : same_site_words[same_site],
        conf->attribute ? "; " : "", conf->attribute ? conf->attribute : "", NULL);
    attributes->len = strlen(attributes->text);
}

const balancer_sticky_t *balancer_sticky_make(const balancer_sticky_conf_t *conf,
                                              const char *cluster, server_rec *s, apr_pool_t *p)
{
    const balancer_cookie_conf_t *cookie = &conf->cookie;
    balancer_sticky_t *sticky;

    if (!cookie->name || !*cookie->name) {
        return NULL;
    }
    sticky = apr_pcalloc(p, sizeof(*sticky));
    sticky->conf = cookie;
    sticky->name_len = strlen(cookie->name);
    conf_make_attributes(&sticky->attributes[0], cookie, 0, p);
    conf_make_attributes(&sticky->attributes[1], cookie, 1, p);
    conf_make_aad(sticky->aad, cluster, conf_scope(conf, s, p), p);
    sticky->idle = (apr_uint32_t)apr_time_sec(cookie->idle);
    sticky->life = (apr_uint32_t)apr_time_sec(cookie->life);
    sticky->refresh = sticky->idle ? sticky->idle / 4 + !(sticky->idle / 4) : 0;
    sticky->window = sticky->idle ? (apr_int64_t)sticky->idle * 1000 : WINDOW;
    sticky->skew = balancer_core ? (apr_uint32_t)apr_time_sec(balancer_core->clock_skew()) : 0;
    return sticky;
}
