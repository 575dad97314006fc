/* Options of commands that ask a running httpd: whom, and who asks. */
#include <apr_file_io.h>
#include <apr_lib.h>
#include <stdio.h>
#include <string.h>

#include "ctl_fetch.h"

#define PASSWORD_SIZE 1024

int ctl_fetch_option(ctl_fetch_t *from, int letter, const char *value)
{
    switch (letter) {
    case 'u':
        from->url = value;
        return 1;
    case 's':
        from->socket = value;
        return 1;
    case 'n':
        from->user = value;
        return 1;
    case 'p':
        from->password_file = value;
        return 1;
    case 'k':
        from->insecure = 1;
        return 1;
    default:
        return 0;
    }
}

/* The first line of the file, or what somebody types. Not on the command line, which all
 * users of the machine can read. */
static int fetch_password(apr_pool_t *p, ctl_fetch_t *from)
{
    char text[PASSWORD_SIZE] = "";
    apr_size_t size = sizeof(text);
    apr_file_t *file;
    apr_status_t rv;

    if (!from->password_file) {
        rv = apr_password_get("password: ", text, &size);
    }
    else {
        rv = apr_file_open(&file, from->password_file, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);
        rv = rv == APR_SUCCESS ? apr_file_gets(text, sizeof(text), file) : rv;
    }
    if (rv != APR_SUCCESS) {
        fprintf(stderr, "usherctl: no password could be read%s%s\n", from->password_file ? " from " : "",
                from->password_file ? ctl_harmless(p, from->password_file) : "");
        return CTL_FAILED;
    }
    text[strcspn(text, "\r\n")] = '\0';
    from->password = apr_pstrdup(p, text);
    return CTL_DONE;
}

int ctl_fetch_ready(apr_pool_t *p, ctl_fetch_t *from)
{
    if (strncmp(from->url, "http://", 7) && strncmp(from->url, "https://", 8)) {
        return CTL_USAGE;
    }
    return from->user ? fetch_password(p, from) : CTL_DONE;
}
