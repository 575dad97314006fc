/* The Jk directives in a configuration of httpd, for the main server and each
 * virtual host. Everything else in the file is passed over. */
#include <apr_file_info.h>
#include <apr_lib.h>
#include <string.h>

#include "jk.h"

/* While one file is read */
typedef struct {
    jk_site_t *site;
    jk_server_t *server;
    const char *location; /**< path of the <Location> that is open */
    int matches;          /**< that is a regular expression */
    ctl_place_t at;
} site_reader_t;

static jk_server_t *site_server(jk_site_t *site, const ctl_place_t *at, const char *addresses)
{
    jk_server_t *server = apr_pcalloc(site->pool, sizeof(*server));

    server->at = *at;
    server->addresses = addresses;
    server->rules = apr_array_make(site->pool, 8, sizeof(jk_rule_t *));
    server->remarks = apr_array_make(site->pool, 4, sizeof(const char *));
    server->copies = -1;
    APR_ARRAY_PUSH(site->servers, jk_server_t *) = server;
    return server;
}

static jk_server_t *site_main(const jk_site_t *site)
{
    return APR_ARRAY_IDX(site->servers, 0, jk_server_t *);
}

jk_site_t *jk_site_make(apr_pool_t *p, ctl_notes_t *notes, jk_properties_t *props, const char *root)
{
    jk_site_t *site = apr_pcalloc(p, sizeof(*site));
    ctl_place_t nowhere = { "httpd.conf", 0 };

    site->pool = p;
    site->notes = notes;
    site->props = props;
    site->root = root;
    site->servers = apr_array_make(p, 4, sizeof(jk_server_t *));
    site_server(site, &nowhere, NULL);
    return site;
}

/* A comment at its place, and a note on stderr. */
static void site_remark(site_reader_t *reader, const char *said, const char *reason)
{
    APR_ARRAY_PUSH(reader->server->remarks, const char *)
        = apr_psprintf(reader->site->pool, "%s (%s:%d): %s", said, reader->at.file,
                       reader->at.line, reason);
    ctl_note(reader->site->notes, &reader->at, "%s: %s", said, reason);
}

static void site_mount(site_reader_t *reader, const char *rest, int excludes)
{
    apr_pool_t *p = reader->site->pool;
    const char *pattern = ctl_word(p, &rest);
    const char *worker = *rest ? ctl_word(p, &rest) : NULL;

    if (!worker && reader->location) {
        worker = pattern;
        pattern = reader->location;
    }
    if (!worker || !*worker || !*pattern) {
        ctl_error(reader->site->notes, &reader->at, "a mount needs a path and a worker");
        return;
    }
    if (reader->location && reader->matches) {
        site_remark(reader, apr_pstrcat(p, "JkMount ", worker, NULL),
                    "in a <LocationMatch>: write a ProxyPassMatch for it");
        return;
    }
    jk_rules_add(reader->server->rules, reader->site->notes,
                 excludes ? apr_pstrcat(p, "!", pattern, NULL) : pattern, worker, JK_BY_DIRECTIVE,
                 &reader->at);
}

static void site_mount_file(site_reader_t *reader, const char *rest)
{
    jk_site_t *site = reader->site;
    const char *name = ctl_word(site->pool, &rest), *text;
    char *path = NULL;

    if (strstr(name, "${") || !*name) {
        ctl_error(site->notes, &reader->at,
                  "JkMountFile \"%s\": write the name of the file out", name);
        return;
    }
    if (*name != '/' && !site->root) {
        ctl_error(site->notes, &reader->at,
                  "JkMountFile %s: from where? Say it with --server-root", name);
        return;
    }
    if (apr_filepath_merge(&path, site->root, name, 0, site->pool) != APR_SUCCESS) {
        path = apr_pstrdup(site->pool, name);
    }
    text = ctl_file_read(site->pool, site->notes, path);
    reader->server->has_file = 1;
    if (text) {
        jk_rules_read(reader->server->rules, site->notes, path, text);
    }
}

static void site_options(site_reader_t *reader, const char *rest)
{
    while (*rest) {
        const char *word = ctl_word(reader->site->pool, &rest);
        const char *name = word + (*word == '+' || *word == '-');
        const jk_directive_t *option = jk_option_find(name);
        int on = *word != '-';

        if (!option) {
            site_remark(reader, apr_pstrcat(reader->site->pool, "JkOptions ", word, NULL),
                        "no option of mod_jk");
        }
        else if (option->fate != JK_TAKEN && on) {
            site_remark(reader, apr_pstrcat(reader->site->pool, "JkOptions ", word, NULL),
                        option->reason);
        }
        else if (!strcmp(option->name, "FlushPackets")) {
            reader->server->flush = on;
        }
        else if (!strcmp(option->name, "DisableReuse")) {
            reader->server->close = on;
        }
    }
}

static void site_copy(site_reader_t *reader, const char *rest)
{
    const char *word = ctl_word(reader->site->pool, &rest);

    if (!apr_strnatcasecmp(word, "All")) {
        reader->server->copies = 2;
    }
    else if (!apr_strnatcasecmp(word, "On") || !apr_strnatcasecmp(word, "Off")) {
        reader->server->copies = !apr_strnatcasecmp(word, "On");
    }
    else {
        ctl_error(reader->site->notes, &reader->at, "JkMountCopy is On, Off or All");
    }
}

static void site_taken(site_reader_t *reader, const jk_directive_t *directive, const char *rest)
{
    const char *name = directive->name;

    if (!strcmp(name, "JkMount") || !strcmp(name, "JkUnMount")) {
        site_mount(reader, rest, name[2] == 'U');
    }
    else if (!strcmp(name, "JkMountFile")) {
        site_mount_file(reader, rest);
    }
    else if (!strcmp(name, "JkMountCopy")) {
        site_copy(reader, rest);
    }
    else if (!strcmp(name, "JkOptions")) {
        site_options(reader, rest);
    }
    else if (!strcmp(name, "JkWorkerProperty")) {
        jk_properties_line(reader->site->props, &reader->at,
                           apr_pstrdup(reader->site->pool, rest));
    }
}

/* <VirtualHost>, <Location> and their ends */
static void site_section(site_reader_t *reader, char *line)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_.:*[] \t";
    apr_size_t len = strlen(line);
    const char *rest = line + 1, *name;

    if (line[len - 1] == '>') {
        line[len - 1] = '\0';
    }
    name = ctl_word(reader->site->pool, &rest);
    if (!apr_strnatcasecmp(name, "VirtualHost")) {
        reader->server = site_server(reader->site, &reader->at,
                                     ctl_trim(apr_pstrdup(reader->site->pool, rest)));
        if (strspn(reader->server->addresses, good) != strlen(reader->server->addresses)) {
            ctl_error(reader->site->notes, &reader->at,
                      "<VirtualHost %.100s>: write its addresses out, without quotes or variables",
                      reader->server->addresses);
        }
    }
    else if (!apr_strnatcasecmp(name, "/VirtualHost")) {
        reader->server = site_main(reader->site);
    }
    else if (!apr_strnatcasecmp(name, "Location") || !apr_strnatcasecmp(name, "LocationMatch")) {
        reader->location = ctl_word(reader->site->pool, &rest);
        reader->matches = name[8] != '\0' || !strcmp(reader->location, "~");
    }
    else if (!apr_strnatcasecmp(name, "/Location") || !apr_strnatcasecmp(name, "/LocationMatch")) {
        reader->location = NULL;
    }
}

/* What is no directive of mod_jk, but matters for it */
static void site_other(site_reader_t *reader, const char *name, const char *rest)
{
    apr_pool_t *p = reader->site->pool;

    if ((!apr_strnatcasecmp(name, "ServerName") || !apr_strnatcasecmp(name, "ServerAlias"))
        && ctl_conf_refuses(rest)) {
        site_remark(reader, name, "has a variable in it and is left out");
    }
    else if (!apr_strnatcasecmp(name, "ServerName")) {
        reader->server->name = ctl_word(p, &rest);
    }
    else if (!apr_strnatcasecmp(name, "ServerAlias")) {
        reader->server->aliases = reader->server->aliases
            ? apr_pstrcat(p, reader->server->aliases, " ", rest, NULL) : apr_pstrdup(p, rest);
    }
    else if (!apr_strnatcasecmp(name, "ServerRoot") && !reader->site->root) {
        reader->site->root = ctl_word(p, &rest);
    }
    else if (!apr_strnatcasecmp(name, "Include") || !apr_strnatcasecmp(name, "IncludeOptional")) {
        ctl_note(reader->site->notes, &reader->at,
                 "%s %s is not followed: name the file on the command line if it has Jk directives",
                 name, rest);
    }
    else if (!apr_strnatcasecmp(name, "SetHandler")
             && (strstr(rest, "jakarta-servlet") || strstr(rest, "jk-worker"))) {
        site_remark(reader, apr_pstrcat(p, name, " ", rest, NULL),
                    "use SetHandler \"proxy:balancer://name\"");
    }
    else if (strstr(rest, "no-jk")) {
        site_remark(reader, apr_pstrcat(p, name, " ", rest, NULL),
                    "the variable is called no-proxy here");
    }
    else if (strstr(rest, "JK_")) {
        site_remark(reader, apr_pstrcat(p, name, " ", rest, NULL),
                    "see the table of variables in mod_jk.md for what stands for JK_...");
    }
}

static void site_line(site_reader_t *reader, char *line)
{
    const char *rest = line, *name;
    const jk_directive_t *directive;

    if (!*line || *line == '#') {
        return;
    }
    if (*line == '<') {
        site_section(reader, line);
        return;
    }
    name = ctl_word(reader->site->pool, &rest);
    directive = jk_directive_find(name);
    if (directive && directive->fate == JK_TAKEN) {
        site_taken(reader, directive, rest);
    }
    else if (directive) {
        site_remark(reader, apr_pstrcat(reader->site->pool, directive->name, " ", rest, NULL),
                    directive->reason);
    }
    else if (apr_tolower(name[0]) == 'j' && apr_tolower(name[1]) == 'k') {
        site_remark(reader, apr_pstrcat(reader->site->pool, name, " ", rest, NULL),
                    "no directive of mod_jk that is known");
    }
    else {
        site_other(reader, name, rest);
    }
}

void jk_site_read(jk_site_t *site, const char *file, const char *text)
{
    site_reader_t reader = { site, site_main(site), NULL, 0, { file, 0 } };
    ctl_lines_t lines;
    ctl_lines_e result;
    char *line;

    ctl_lines_init(&lines, site->pool, text, strlen(text));
    while ((result = ctl_lines_next(&lines, &line)) != CTL_LINES_END) {
        reader.at.line = lines.first;
        if (result == CTL_LINES_LINE) {
            site_line(&reader, line);
        }
        else {
            ctl_error(site->notes, &reader.at,
                      result == CTL_LINES_LONG ? "a line that is too long"
                                               : "a line with a control character in it");
        }
    }
}

/* mount= in workers.properties holds for the main server, as JkMount there. */
static void site_worker_mounts(apr_array_header_t *rules, const jk_site_t *site,
                               const jk_workers_t *workers)
{
    int i, k;

    for (i = 0; i < workers->list->nelts; ++i) {
        const jk_worker_t *worker = APR_ARRAY_IDX(workers->list, i, jk_worker_t *);
        const jk_property_t *mount = jk_value(workers, worker, "mount");
        apr_array_header_t *words = jk_words(site->pool, mount ? mount->value : NULL);

        for (k = 0; k < words->nelts; ++k) {
            jk_rules_add(rules, site->notes, APR_ARRAY_IDX(words, k, const char *), worker->name,
                         JK_BY_WORKER, &mount->at);
        }
    }
}

apr_array_header_t *jk_site_rules(const jk_site_t *site, const jk_server_t *server,
                                  const jk_workers_t *workers)
{
    const jk_server_t *from = site_main(site);
    apr_array_header_t *rules = apr_array_copy(site->pool, server->rules);
    int copies = server->copies >= 0 ? server->copies : from->copies == 2;
    int i;

    if (server == from) {
        site_worker_mounts(rules, site, workers);
    }
    for (i = 0; server != from && copies && i < from->rules->nelts; ++i) {
        jk_rule_t *rule = APR_ARRAY_IDX(from->rules, i, jk_rule_t *);

        /* A file of its own replaces the main server's. */
        if (!server->has_file || rule->source != JK_BY_FILE) {
            APR_ARRAY_PUSH(rules, jk_rule_t *) = rule;
        }
    }
    jk_rules_sort(rules);
    return rules;
}
