/* The handshake log: a file, or a program that reads a pipe, opened with httpd's other logs
 * and, as those, anew at each restart. */
#include "tls_private.h"

APLOG_USE_MODULE(usher_tls);

struct tls_log_t {
    const char *name; /**< as the directive has it, with the '|' of a pipe */
    int all;          /**< not only handshakes that failed */
    int json;
    apr_file_t *file; /**< NULL: nothing is written */
    tls_log_t *next;
};

/* Those of this reading of the configuration; in its pool. */
static tls_log_t *log_first;

void tls_log_pre_config(void)
{
    log_first = NULL;
}

/* A word after the file's name. @return 0: unknown */
static int log_set_word(tls_log_t *log, const char *word)
{
    if (!ap_cstr_casecmp(word, "failed") || !ap_cstr_casecmp(word, "all")) {
        log->all = !ap_cstr_casecmp(word, "all");
        return 1;
    }
    if (!ap_cstr_casecmp(word, "text") || !ap_cstr_casecmp(word, "json")) {
        log->json = !ap_cstr_casecmp(word, "json");
        return 1;
    }
    return 0;
}

const tls_log_t *tls_log_declare(apr_pool_t *p, int argc, char *const argv[], const char **reason)
{
    tls_log_t *log;
    int i;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        return NULL;
    }
    if (argc < 1 || argc > 3) {
        *reason = "takes a file or \"|program\", maybe failed or all, and maybe text or json; "
                  "or off";
        return NULL;
    }
    log = apr_pcalloc(p, sizeof(*log));
    log->name = apr_pstrdup(p, argv[0]);
    for (i = 1; i < argc; ++i) {
        if (!log_set_word(log, argv[i])) {
            *reason = apr_psprintf(p, "\"%s\": after the file come failed or all, and text or "
                                   "json", argv[i]);
            return NULL;
        }
    }
    if (log->name[0] == '|' && !log->name[1 + strspn(log->name + 1, "|$ ")]) {
        *reason = "\"|\": a program must follow the |";
    }
    else if (log->name[0] != '|') {
        *reason = usher_conf_check_log(p, log->name);
    }
    if (*reason) {
        return NULL;
    }
    log->next = log_first;
    log_first = log;
    return log;
}

static apr_status_t log_open(tls_log_t *log, apr_pool_t *p)
{
    if (log->name[0] == '|') {
        piped_log *pipe = ap_open_piped_log(p, log->name + 1);

        log->file = pipe ? ap_piped_log_write_fd(pipe) : NULL;
        return log->file ? APR_SUCCESS : APR_EGENERAL;
    }
    return apr_file_open(&log->file, ap_server_root_relative(p, log->name),
                         APR_FOPEN_WRITE | APR_FOPEN_APPEND | APR_FOPEN_CREATE
                             | APR_FOPEN_LARGEFILE,
                         APR_OS_DEFAULT, p);
}

int tls_log_open_logs(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    tls_log_t *log;

    for (log = log_first; log; log = log->next) {
        apr_status_t rv = log_open(log, pconf);

        if (rv == APR_SUCCESS) {
            continue;
        }
        log->file = NULL;
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(4002)
                     "UsherTLSLog \"%s\" could not be opened%s", log->name,
                     usher_conf_may_refuse() ? "" : ": handshakes are not logged there");
        if (usher_conf_may_refuse()) {
            return !OK;
        }
    }
    return OK;
}

/* As httpd's other logs: all threads and processes append, each with one write. */
void tls_log_put(const tls_log_t *log, tls_record_t *record)
{
    char line[TLS_LINE_SIZE];
    apr_size_t len;

    if (log && log->file && (log->all || record->facts.outcome != USHER_TLS_DONE)) {
        len = tls_line_put(line, record, log->json);
        apr_file_write(log->file, line, &len);
    }
}
