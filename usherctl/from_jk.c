/* usherctl from-jk: prints what a configuration of mod_jk is for Usher. */
#include <apr_file_info.h>
#include <apr_getopt.h>
#include <stdio.h>
#include <string.h>

#include "jk.h"

static const char help[] =
    "usage: usherctl from-jk [options] workers.properties [httpd.conf ...]\n"
    "\n"
    "Prints a configuration of httpd with Usher that does what these files do\n"
    "with mod_jk. What needs a decision is a comment at its place, and told on\n"
    "stderr with file and line. The files themselves are not changed.\n"
    "\n"
    "    -m, --mounts FILE       a uriworkermap.properties of the main server that no\n"
    "                            JkMountFile names\n"
    "    -r, --server-root DIR   where names of files without a leading \"/\" begin\n"
    "    -h, --help              this text\n"
    "\n"
    "Exit code: 0 it was printed, 1 the files have errors and nothing was printed,\n"
    "2 wrong usage. docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    { "mounts", 'm', 1, NULL },
    { "server-root", 'r', 1, NULL },
    { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

typedef struct {
    const char *root;
    apr_array_header_t *mounts; /**< const char *: --mounts */
    int files;                  /**< the first of them in argv */
} from_jk_t;

/* CTL_DONE: --help was asked for; -1: go on */
static int from_jk_options(apr_pool_t *p, from_jk_t *asked, int argc, const char *const *argv)
{
    const char **all = apr_pcalloc(p, sizeof(*all) * ((apr_size_t)argc + 2));
    apr_getopt_t *os;
    const char *value;
    apr_status_t rv;
    int letter;

    all[0] = "usherctl from-jk";
    memcpy(all + 1, argv, sizeof(*all) * (apr_size_t)argc);
    apr_getopt_init(&os, p, argc + 1, all);
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        switch (letter) {
        case 'm':
            APR_ARRAY_PUSH(asked->mounts, const char *) = value;
            break;
        case 'r':
            asked->root = value;
            break;
        default:
            fputs(help, stdout);
            return CTL_DONE;
        }
    }
    asked->files = os->ind - 1;
    if (!APR_STATUS_IS_EOF(rv) || asked->files >= argc) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    return -1;
}

static void from_jk_header(ctl_conf_t *conf, int argc, const char *const *argv)
{
    static const char *const lines[] = {
        "",
        "Modules that this needs, if they are not loaded yet; those of mod_proxy first:",
        "LoadModule proxy_module modules/mod_proxy.so",
        "LoadModule usher_module modules/mod_usher.so",
        "LoadModule usher_backend_module modules/mod_usher_backend.so",
        "LoadModule usher_balancer_module modules/mod_usher_balancer.so",
        "",
        "mod_jk waits for an answer without end where reply_timeout is not given. Here",
        "that is timeout=, else ProxyTimeout, else Timeout: 60 seconds if none of them",
        "is set.",
    };
    apr_size_t i;
    int k;

    ctl_conf_comment(conf, "Made by usherctl %s from-jk from", USHERCTL_VERSION);
    for (k = 0; k < argc; ++k) {
        ctl_conf_comment(conf, "    %s", argv[k]);
    }
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); ++i) {
        ctl_conf_comment(conf, "%s", lines[i]);
    }
}

/* Keys under "worker." that belong to no worker */
static void from_jk_globals(const jk_workers_t *workers)
{
    int i;

    for (i = 0; i < workers->props->list->nelts; ++i) {
        const jk_property_t *property = APR_ARRAY_IDX(workers->props->list, i, jk_property_t *);

        if (!strcmp(property->name, "worker.maintain")) {
            ctl_note(workers->notes, &property->at, "worker.maintain: not needed, Usher's tick is once a second");
        }
        else if (!strncmp(property->name, "worker.", 7) && strcmp(property->name, "worker.list")
                 && !strchr(property->name + 7, '.')) {
            ctl_note(workers->notes, &property->at, "%s: no key that is known", property->name);
        }
    }
}

/* Prefixes that some worker refers to */
static apr_hash_t *from_jk_templates(const jk_properties_t *props)
{
    apr_hash_t *templates = apr_hash_make(props->pool);
    int i;

    for (i = 0; i < props->list->nelts; ++i) {
        const jk_property_t *property = APR_ARRAY_IDX(props->list, i, jk_property_t *);
        const char *last = strrchr(property->name, '.');

        if (last && !strcmp(last, ".reference")) {
            apr_hash_set(templates, property->value, APR_HASH_KEY_STRING, "");
        }
    }
    return templates;
}

/* A worker that neither worker.list nor an lb names does nothing. */
static void from_jk_unused(const jk_workers_t *workers)
{
    const jk_properties_t *props = workers->props;
    apr_hash_t *seen = from_jk_templates(props);
    int i;

    for (i = 0; i < props->list->nelts; ++i) {
        const jk_property_t *property = APR_ARRAY_IDX(props->list, i, jk_property_t *);
        const char *last = strrchr(property->name, '.');
        const char *prefix;

        if (strncmp(property->name, "worker.", 7) || last == property->name + 6) {
            continue;
        }
        prefix = apr_pstrmemdup(workers->pool, property->name, (apr_size_t)(last - property->name));
        if (!jk_worker_get(workers, prefix + 7) && !apr_hash_get(seen, prefix, APR_HASH_KEY_STRING)) {
            apr_hash_set(seen, prefix, APR_HASH_KEY_STRING, "");
            ctl_note(workers->notes, &property->at, "worker %s is in no list: left out", prefix + 7);
        }
    }
}

static void from_jk_read(apr_pool_t *p, jk_site_t *site, const from_jk_t *asked, int argc,
                         const char *const *argv)
{
    jk_server_t *server = APR_ARRAY_IDX(site->servers, 0, jk_server_t *);
    const char *text;
    int i;

    /* JkWorkerProperty first: mod_jk reads the configuration before the file. */
    for (i = asked->files + 1; i < argc; ++i) {
        text = ctl_file_read(p, site->notes, argv[i]);
        if (text) {
            jk_site_read(site, argv[i], text);
        }
    }
    text = ctl_file_read(p, site->notes, argv[asked->files]);
    if (text) {
        jk_properties_read(site->props, argv[asked->files], text, strlen(text));
    }
    for (i = 0; i < asked->mounts->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(asked->mounts, i, const char *);

        text = ctl_file_read(p, site->notes, name);
        if (text) {
            jk_rules_read(server->rules, site->notes, name, text);
        }
    }
}

static int from_jk(apr_pool_t *p, int argc, const char *const *argv)
{
    ctl_notes_t *notes = ctl_notes_make(p);
    jk_properties_t *props = jk_properties_make(p, notes);
    ctl_conf_t *conf = ctl_conf_make(p);
    from_jk_t asked = { NULL, apr_array_make(p, 2, sizeof(const char *)), 0 };
    int code = from_jk_options(p, &asked, argc, argv);
    jk_workers_t *workers;
    jk_site_t *site;

    if (code >= 0) {
        return code;
    }
    site = jk_site_make(p, notes, props, asked.root);
    from_jk_read(p, site, &asked, argc, argv);
    if (!notes->errors->nelts) {
        workers = jk_workers_make(props);
        from_jk_globals(workers);
        from_jk_unused(workers);
        from_jk_header(conf, argc - asked.files, argv + asked.files);
        jk_print_clusters(conf, workers, site);
        jk_print_servers(conf, workers, site);
    }
    ctl_notes_show(notes);
    if (notes->errors->nelts) {
        return CTL_FAILED;
    }
    return ctl_conf_show(conf) ? CTL_DONE : CTL_FAILED;
}

const ctl_command_t ctl_from_jk
    = { "from-jk", "makes a configuration of mod_jk one of httpd with Usher", help, from_jk };
