/* The configuration's LogFormat lines, as they stand there: which of our items they have. An
 * item that does not exist would be seen in the log only, as "-". */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

int log_check_is_used;

static int check_has_formats(const ap_directive_t *directive)
{
    static const char *const names[] = { "LogFormat", "CustomLog", "GlobalLog" };
    unsigned int i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (!ap_cstr_casecmp(directive->directive, names[i])) {
            return directive->args != NULL;
        }
    }
    return 0;
}

/* All that is wrong is said. @return 1: something is */
static int check_format(const ap_directive_t *directive, server_rec *s)
{
    const char *at = directive->args, *end, *begin;
    int wrong = 0;

    for (; (end = ap_strstr_c(at, "}^US")) != NULL; at = end + 1) {
        for (begin = end; begin > at && *begin != '{'; --begin) {
        }
        log_check_is_used = 1;
        if (*begin == '{' && !log_items_has(begin + 1, (apr_size_t)(end - begin - 1))) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(5001)
                         "%s:%d: %s: there is no item %%%.*s}^US: see the list in "
                         "docs/mod_usher_log.md, and correct its name", directive->filename,
                         directive->line_num, directive->directive, (int)(end - begin), begin);
            wrong = 1;
        }
    }
    return wrong;
}

static int check_walk(const ap_directive_t *directive, server_rec *s)
{
    int wrong = 0;

    for (; directive; directive = directive->next) {
        if (check_has_formats(directive)) {
            wrong |= check_format(directive, s);
        }
        if (directive->first_child) {
            wrong |= check_walk(directive->first_child, s);
        }
    }
    return wrong;
}

int log_check_formats(apr_pool_t *p, server_rec *s)
{
    const server_rec *each;

    log_check_is_used = 0;
    for (each = s; each; each = each->next) {
        const char *header = log_conf_of(each)->id_header;

        log_check_is_used |= header && *header;
    }
    return check_walk(ap_conftree, s) && usher_conf_may_refuse() ? !OK : OK;
}
