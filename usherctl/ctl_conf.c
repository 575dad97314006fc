/* Writing a configuration of httpd in which nothing but what is meant to be a
 * directive is one, whatever the values are. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "usherctl.h"

ctl_conf_t *ctl_conf_make(apr_pool_t *p)
{
    ctl_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->pool = p;
    conf->pieces = apr_array_make(p, 64, sizeof(const char *));
    return conf;
}

static void conf_add(ctl_conf_t *conf, const char *before, const char *text)
{
    const char *sharp = *text ? before : ctl_trim(apr_pstrdup(conf->pool, before));
    /* Lines that end in a backslash would take the next one with them. */
    apr_size_t len = strlen(text);
    const char *after = len && text[len - 1] == '\\' ? " .\n" : "\n";

    APR_ARRAY_PUSH(conf->pieces, const char *)
        = apr_psprintf(conf->pool, "%*s%s%s%s", *text || *before ? conf->indent : 0, "", sharp,
                       ctl_harmless(conf->pool, text), after);
}

void ctl_conf_line(ctl_conf_t *conf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    conf_add(conf, "", apr_pvsprintf(conf->pool, format, args));
    va_end(args);
}

void ctl_conf_comment(ctl_conf_t *conf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    conf_add(conf, "# ", apr_pvsprintf(conf->pool, format, args));
    va_end(args);
}

const char *ctl_conf_refuses(const char *text)
{
    const unsigned char *c;

    /* There is no way to quote it: httpd looks for it before it parses a line. */
    if (strstr(text, "${")) {
        return "has \"${\" in it, for which httpd would put a variable";
    }
    for (c = (const unsigned char *)text; *c; ++c) {
        if (*c < ' ' || *c == 0x7f) {
            return "has a control character in it";
        }
    }
    return NULL;
}

/* Only a backslash before a backslash or a quote is one that quotes. */
const char *ctl_conf_quote(apr_pool_t *p, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:=+*,%@|!;";
    char *quoted, *to;

    if (*word && strspn(word, plain) == strlen(word)) {
        return word;
    }
    quoted = to = apr_palloc(p, 2 * strlen(word) + 3);
    *to++ = '"';
    for (; *word; ++word) {
        if (*word == '"' || (*word == '\\' && (!word[1] || word[1] == '\\' || word[1] == '"'))) {
            *to++ = '\\';
        }
        *to++ = *word;
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}

int ctl_conf_show(const ctl_conf_t *conf)
{
    int i, ok = 1;

    for (i = 0; ok && i < conf->pieces->nelts; ++i) {
        ok = fputs(APR_ARRAY_IDX(conf->pieces, i, const char *), stdout) >= 0;
    }
    return ok;
}
