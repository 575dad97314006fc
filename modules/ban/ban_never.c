/* Who is never banned nor turned away, whatever rules, lists and people say: UsherBanNever, and four groups
 * that belong to it unless they are taken away. Only asked when somebody is about to be banned or turned away. */
#include "ban_private.h"
#include "usher_geo.h"

APLOG_USE_MODULE(usher_ban);

enum { LOOPBACK, OWN, MEMBERS, PROXIES, GROUPS };

static const char *const group_names[GROUPS] = { "-loopback", "-own", "-members", "-proxies" };

/* A directive's prefixes while it is read, and the set of them after. */
typedef struct {
    apr_array_header_t *ranges; /* usher_cidr_range_t */
    apr_array_header_t *files;  /* const ban_file_t * */
    usher_cidr_set_t *set;
} never_prefixes_t;

/* geo:country:JP */
typedef struct {
    const char *word;
    const char *what;         /* "country" */
    apr_array_header_t *argv; /* const char * */
    const usher_geo_question_t *question;
} never_geo_t;

static int is_left_out[GROUPS];
static never_prefixes_t never, proxies, loopback;
static apr_array_header_t *geos; /* never_geo_t */
static APR_OPTIONAL_FN_TYPE(usher_geo_ask) *geo_ask;

static void never_init(never_prefixes_t *prefixes, apr_pool_t *p)
{
    prefixes->ranges = apr_array_make(p, 8, sizeof(usher_cidr_range_t));
    prefixes->files = apr_array_make(p, 2, sizeof(const ban_file_t *));
    prefixes->set = NULL;
}

/* A prefix, or "file:/path". @return NULL; else what is wrong */
static const char *never_add(never_prefixes_t *prefixes, cmd_parms *cmd, const char *word)
{
    usher_cidr_range_t range;

    if (!strncmp(word, "file:", 5)) {
        const ban_file_t *file = NULL;
        const char *wrong = ban_lists_file(cmd, word + 5, &file);

        if (!wrong) {
            APR_ARRAY_PUSH(prefixes->files, const ban_file_t *) = file;
        }
        return wrong;
    }
    if (!usher_cidr_parse(&range, word, strlen(word))) {
        return apr_psprintf(cmd->pool, "\"%s\" is no address nor prefix of addresses: write it as 192.0.2.7, "
                            "192.0.2.0/24 or 2001:db8::/32, the bits behind the prefix being 0", word);
    }
    APR_ARRAY_PUSH(prefixes->ranges, usher_cidr_range_t) = range;
    return NULL;
}

static int never_has(const never_prefixes_t *prefixes, usher_cidr_address_t address)
{
    int i;

    for (i = 0; i < prefixes->files->nelts; ++i) {
        if (ban_lists_file_has(APR_ARRAY_IDX(prefixes->files, i, const ban_file_t *), address)) {
            return 1;
        }
    }
    return usher_cidr_set_has(prefixes->set, address);
}

static int never_meets(const never_prefixes_t *prefixes, const ban_prefix_t *prefix)
{
    usher_cidr_range_t range = ban_prefix_range(prefix);
    int i;

    for (i = 0; i < prefixes->files->nelts; ++i) {
        if (ban_lists_file_meets(APR_ARRAY_IDX(prefixes->files, i, const ban_file_t *), prefix)) {
            return 1;
        }
    }
    return usher_cidr_set_meets(prefixes->set, &range);
}

void ban_never_init(apr_pool_t *pconf)
{
    usher_cidr_range_t *ranges;

    memset(is_left_out, 0, sizeof(is_left_out));
    never_init(&never, pconf);
    never_init(&proxies, pconf);
    never_init(&loopback, pconf);
    ranges = apr_array_push(loopback.ranges);
    usher_cidr_parse(ranges, "127.0.0.0/8", strlen("127.0.0.0/8"));
    ranges = apr_array_push(loopback.ranges);
    usher_cidr_parse(ranges, "::1", strlen("::1"));
    geos = apr_array_make(pconf, 2, sizeof(never_geo_t));
}

/* --- directives */

/* "country:JP,KR". @return NULL; else why it is none */
static const char *never_geo(never_geo_t *geo, const char *word, apr_pool_t *p)
{
    char *what = apr_pstrdup(p, word + strlen("geo:")), *values = strchr(what, ':'), *value, *state;

    if (!values || !values[1]
        || (strncmp(what, "country:", 8) != 0 && strncmp(what, "continent:", 10) != 0
            && strncmp(what, "asn:", 4) != 0)) {
        return apr_psprintf(p, "\"%s\": takes geo:country:JP,KR or geo:continent:EU or geo:asn:64500", word);
    }
    *values++ = '\0';
    *geo = (never_geo_t) { word, what, apr_array_make(p, 2, sizeof(const char *)), NULL };
    for (value = apr_strtok(values, ",", &state); value; value = apr_strtok(NULL, ",", &state)) {
        APR_ARRAY_PUSH(geo->argv, const char *) = value;
    }
    return NULL;
}

static int never_group(const char *word)
{
    int i;

    for (i = 0; i < GROUPS && strcmp(word, group_names[i]) != 0; ++i) {
    }
    return i;
}

/* One word of UsherBanNever. @return NULL; else what is wrong */
static const char *never_word(cmd_parms *cmd, const char *word)
{
    int group = never_group(word);

    if (group < GROUPS) {
        is_left_out[group] = 1;
        return NULL;
    }
    if (word[0] == '-') {
        return apr_psprintf(cmd->pool, "\"%s\": there are -loopback, -own, -members and -proxies", word);
    }
    if (!strncmp(word, "geo:", 4)) {
        never_geo_t geo;
        const char *wrong = never_geo(&geo, word, cmd->pool);

        if (!wrong) {
            APR_ARRAY_PUSH(geos, never_geo_t) = geo;
        }
        return wrong;
    }
    return never_add(&never, cmd, word);
}

const char *ban_never_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = NULL;
    int i;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections: it holds for the whole server");
    }
    if (!argc) {
        return usher_conf_refuse(cmd, "takes addresses, prefixes of them, file:/path, geo:country:JP, and -loopback, "
                                 "-own, -members or -proxies");
    }
    for (i = 0; i < argc && !wrong; ++i) {
        wrong = never_word(cmd, argv[i]);
    }
    return wrong ? usher_conf_refuse(cmd, wrong) : NULL;
}

const char *ban_never_set_proxies(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = NULL;
    int i;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections: it holds for the whole server");
    }
    if (!argc) {
        return usher_conf_refuse(cmd, "takes the addresses of proxies, prefixes of them, and file:/path");
    }
    for (i = 0; i < argc && !wrong; ++i) {
        wrong = never_add(&proxies, cmd, argv[i]);
    }
    return wrong ? usher_conf_refuse(cmd, wrong) : NULL;
}

/* --- when all is read */

static void never_make(never_prefixes_t *prefixes, apr_pool_t *p)
{
    apr_size_t count = (apr_size_t)prefixes->ranges->nelts;

    prefixes->set = apr_palloc(p, usher_cidr_set_size(count));
    usher_cidr_set_make(prefixes->set, (usher_cidr_range_t *)(void *)prefixes->ranges->elts, count);
}

/* @return NULL; else why it cannot be asked, with the remedy */
static const char *never_make_geo(never_geo_t *geo, apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(usher_geo_question) *understand = APR_RETRIEVE_OPTIONAL_FN(usher_geo_question);

    if (!understand || !geo_ask) {
        return "it needs mod_usher_geo: add \"LoadModule usher_geo_module modules/mod_usher_geo.so\"";
    }
    return understand(pconf, apr_pstrcat(pconf, "UsherBanNever ", geo->word, NULL), geo->what, geo->argv->nelts,
                      (const char *const *)(void *)geo->argv->elts, &geo->question);
}

/* Whoever nobody can be is no reason to ban nobody: of IPv6 all that the internet has is 2000::/3. */
static int never_has_all(const never_prefixes_t *prefixes, const char *all)
{
    const usher_cidr_set_t *set = prefixes->set;
    usher_cidr_range_t range;
    apr_uint64_t i;

    usher_cidr_parse(&range, all, strlen(all));
    for (i = 0; i < set->count; ++i) {
        if (!usher_cidr_is_before(range.first, set->ranges[i].first)
            && !usher_cidr_is_before(set->ranges[i].last, range.last)) {
            return 1;
        }
    }
    return 0;
}

/* What nobody means, and nobody would see. Files aside: what they have comes and goes. */
static void never_warn_of_all(const never_prefixes_t *prefixes, const char *directives, server_rec *s)
{
    static const char *const all[][2] = { { "0.0.0.0/0", "IPv4" }, { "2000::/3", "IPv6" } };
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
        if (never_has_all(prefixes, all[i][0])) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8045)
                         "%s: has all of %s in it (%s), so that nobody with such an address is ever banned or turned "
                         "away: name the networks that are meant. Who wants that for a while says \"UsherBan Off\"",
                         directives, all[i][1], all[i][0]);
        }
    }
}

int ban_never_check_config(apr_pool_t *pconf, server_rec *s)
{
    int i, rc = OK;

    if (ban_remoteip_proxies()) {
        apr_array_cat(proxies.ranges, ban_remoteip_proxies());
    }
    never_make(&loopback, pconf);
    never_make(&never, pconf);
    never_make(&proxies, pconf);
    never_warn_of_all(&never, "UsherBanNever", s);
    never_warn_of_all(&proxies, "UsherBanProxies, RemoteIPInternalProxy and RemoteIPTrustedProxy", s);
    geo_ask = APR_RETRIEVE_OPTIONAL_FN(usher_geo_ask);
    for (i = 0; i < geos->nelts; ++i) {
        never_geo_t *geo = &APR_ARRAY_IDX(geos, i, never_geo_t);
        const char *wrong = never_make_geo(geo, pconf);

        if (wrong) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(8041) "UsherBanNever \"%s\": %s", geo->word, wrong);
            rc = usher_conf_may_refuse() ? !OK : OK;
        }
    }
    return rc;
}

/* --- questions */

int ban_never_has_members(void)
{
    return !is_left_out[MEMBERS];
}

int ban_never_is_declared(usher_cidr_address_t address)
{
    return never_has(&proxies, address);
}

int ban_never_is_proxy(usher_cidr_address_t address)
{
    return ban_remoteip_believes_all() || ban_never_is_declared(address);
}

static int never_geo_has(usher_cidr_address_t address)
{
    int i;

    for (i = 0; i < geos->nelts; ++i) {
        const usher_geo_question_t *question = APR_ARRAY_IDX(geos, i, never_geo_t).question;

        if (question && geo_ask(question, address) == 1) {
            return 1;
        }
    }
    return 0;
}

const char *ban_never_why(usher_cidr_address_t address)
{
    if (!is_left_out[LOOPBACK] && never_has(&loopback, address)) {
        return "loopback";
    }
    if (!is_left_out[OWN] && ban_near_is_own(address)) {
        return "an address of this machine";
    }
    if (!is_left_out[MEMBERS] && ban_near_is_member(address)) {
        return "a member";
    }
    if (!is_left_out[PROXIES] && ban_never_is_declared(address)) {
        return "a declared proxy";
    }
    return never_has(&never, address) || never_geo_has(address) ? "UsherBanNever" : NULL;
}

int ban_never_overlaps(const ban_prefix_t *prefix)
{
    usher_cidr_range_t range = ban_prefix_range(prefix);

    return (!is_left_out[LOOPBACK] && never_meets(&loopback, prefix))
           || (!is_left_out[OWN] && ban_near_has_own(&range))
           || (!is_left_out[MEMBERS] && ban_near_has_member(&range))
           || (!is_left_out[PROXIES] && never_meets(&proxies, prefix))
           || never_meets(&never, prefix);
}
