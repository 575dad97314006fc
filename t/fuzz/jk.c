/* What lies in the files of mod_jk: workers.properties, then after a line "--"
 * a configuration of httpd. Whatever is in them, what is printed has no line
 * that could not come from sound files. */
#include "fuzz.h"
#include "jk.h"

static int known(const char *line)
{
    static const char *const words[] = {
        "#", "<Proxy ", "</Proxy>", "BalancerMember ajp://", "ProxySet ", "ProxyPass ",
        "ProxyPassMatch ", "UsherReplay ", "UsherBackendRest ", "UsherBackendTimeout ",
        "ProxyErrorOverride On", "<LocationMatch ", "</LocationMatch>",
        "SetHandler balancer-manager", "Require local", "<VirtualHost ", "</VirtualHost>",
        "ServerName ", "ServerAlias ", "Header add Set-Cookie ",
    };
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); ++i) {
        if (!strncmp(line, words[i], strlen(words[i]))) {
            return 1;
        }
    }
    return *line == '\0';
}

/* One line each, which takes nothing of the next one with it */
static void check(const ctl_conf_t *conf)
{
    int i;

    for (i = 0; i < conf->pieces->nelts; ++i) {
        const char *piece = APR_ARRAY_IDX(conf->pieces, i, const char *);
        char *line = apr_pstrdup(conf->pool, piece);
        size_t len = strlen(line);

        FUZZ_ASSERT(len > 0 && strchr(line, '\n') == line + len - 1);
        line[len - 1] = '\0';
        FUZZ_ASSERT(len < 2 || line[len - 2] != '\\');
        line = ctl_trim(line);
        FUZZ_ASSERT(known(line));
        FUZZ_ASSERT(*line == '#' || !strstr(line, "${"));
    }
}

static void convert(apr_pool_t *p, char *properties, const char *httpd_conf)
{
    ctl_notes_t *notes = ctl_notes_make(p);
    jk_properties_t *props = jk_properties_make(p, notes);
    jk_site_t *site = jk_site_make(p, notes, props, NULL);
    ctl_conf_t *conf = ctl_conf_make(p);
    jk_workers_t *workers;

    jk_site_read(site, "conf", httpd_conf);
    jk_properties_read(props, "properties", properties, strlen(properties));
    workers = jk_workers_make(props);
    jk_print_clusters(conf, workers, site);
    jk_print_servers(conf, workers, site);
    if (!notes->errors->nelts) {
        check(conf);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;
    apr_pool_t *p;
    char *text, *conf, *c;

    if (!ready) {
        apr_initialize();
        ready = 1;
    }
    apr_pool_create(&p, NULL);
    text = apr_pstrmemdup(p, (const char *)data, size);
    conf = strstr(text, "\n--\n");
    if (conf) {
        *conf = '\0';
        conf += 4;
        /* No files of this machine are to be read. */
        for (c = conf; *c; ++c) {
            if (*c == 'F' || *c == 'f') {
                *c = 'g';
            }
        }
    }
    convert(p, text, conf ? conf : "");
    apr_pool_destroy(p);
    return 0;
}
