/**
 * @file  usher_conf.h
 * @brief How every module of the suite reads and refuses its configuration.
 *
 * `httpd -t` and the first start refuse what is wrong. At a restart the same
 * refusal would end a running site, so there it is only logged, and the part
 * concerned keeps what it had or stays off.
 */
#ifndef USHER_CONF_H
#define USHER_CONF_H

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

/** Number of a log message of the suite; httpd's AH numbers are not ours. */
#define USHERLOGNO(n) "USHER" #n ": "

/** Every field of a configuration starts unset; every merge goes through here. */
#define USHER_UNSET (-1)
#define USHER_MERGE(field, base, add) \
    ((add)->field != USHER_UNSET ? (add)->field : (base)->field)

/**
 * Whether this reading of the configuration may end httpd: `httpd -t` and the
 * first start, not a restart. Call it while the configuration is read.
 * @return 1 or 0
 */
static inline int usher_conf_may_refuse(void)
{
    return ap_state_query(AP_SQ_CONFIG_GEN) <= 1;
}

/**
 * Refuse the value of a directive: return what this returns from the
 * directive's function, and leave the setting as it was.
 * @param cmd     of the directive
 * @param reason  goes on after the directive's name: the value and the remedy
 * @return the whole sentence (httpd stops, telling file and line), or NULL at
 *         a restart, where it is logged instead
 */
static inline const char *usher_conf_refuse(cmd_parms *cmd, const char *reason)
{
    if (usher_conf_may_refuse()) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", reason, NULL);
    }
    /* With the main server: a vhost has no error log yet. */
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, ap_server_conf, USHERLOGNO(1001)
                 "%s:%d: %s %s: the site goes on without this line; mend it, "
                 "run configtest, and restart gracefully",
                 cmd->directive ? cmd->directive->filename : "?",
                 cmd->directive ? cmd->directive->line_num : 0,
                 cmd->cmd->name, reason);
    return NULL;
}

/**
 * The words of a line; key="a value" is one, as is "key=a value".
 * @return of char *, in @a p
 */
static inline apr_array_header_t *usher_conf_words(apr_pool_t *p, const char *line)
{
    apr_array_header_t *words = apr_array_make(p, 12, sizeof(char *));

    line += strspn(line, " \t");
    while (*line) {
        apr_size_t len = strcspn(line, "= \t\"'");

        if (line[len] == '=' && (line[len + 1] == '"' || line[len + 1] == '\'')) {
            const char *key = apr_pstrmemdup(p, line, len + 1);

            line += len + 1;
            APR_ARRAY_PUSH(words, char *) = apr_pstrcat(p, key, ap_getword_conf(p, &line), NULL);
        }
        else {
            APR_ARRAY_PUSH(words, char *) = ap_getword_conf(p, &line);
        }
    }
    return words;
}

/**
 * Judge the name of a log file that a directive takes; for usher_conf_refuse().
 * @return NULL: it seems that it can be written; else why not, with the remedy
 */
static inline const char *usher_conf_check_log(apr_pool_t *p, const char *name)
{
    const char *path = ap_server_root_relative(p, name);
    const char *folder = path ? ap_make_dirstr_parent(p, path) : NULL;
    apr_finfo_t info;

    if (!path) {
        return apr_psprintf(p, "\"%s\": is no path of a file", name);
    }
    if (apr_stat(&info, path, APR_FINFO_TYPE, p) == APR_SUCCESS && info.filetype == APR_DIR) {
        return apr_psprintf(p, "\"%s\": is a folder; name a file in it", name);
    }
    if (apr_stat(&info, folder, APR_FINFO_TYPE, p) != APR_SUCCESS || info.filetype != APR_DIR) {
        return apr_psprintf(p, "\"%s\": there is no folder %s; make it", name, folder);
    }
    return NULL;
}

#endif /* USHER_CONF_H */
