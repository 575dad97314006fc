/**
 * @file  ctl_fetch.h
 * @brief What usherctl asks of a running httpd.
 */
#ifndef CTL_FETCH_H
#define CTL_FETCH_H

#include "usherctl.h"

/** Whom to ask, and how. */
typedef struct {
    const char *url;
    const char *socket;   /**< a unix socket; NULL: the host of the URL */
    const char *user;     /**< NULL: none */
    const char *password_file; /**< NULL: it is asked for */
    const char *password;
    int insecure;         /**< any certificate will do */
} ctl_fetch_t;

/** What is asked. */
typedef struct {
    const char *method;          /**< "PUT" */
    const char *body;            /**< NULL: none */
    apr_array_header_t *headers; /**< const char *, "Name: value"; NULL: none */
} ctl_request_t;

/** Options of commands that ask a httpd: for a table of apr_getopt_long(). */
#define CTL_FETCH_OPTIONS \
    { "url", 'u', 1, NULL }, { "unix-socket", 's', 1, NULL }, { "user", 'n', 1, NULL }, \
    { "password", 'p', 1, NULL }, { "insecure", 'k', 0, NULL }
/** Take one of them. @return 1; 0: it is none of them */
int ctl_fetch_option(ctl_fetch_t *from, int letter, const char *value);

/**
 * Complete the options: the URL is one, and a password is read where there is a user.
 * @return CTL_DONE; else it is told why not, but of a URL that is none
 */
int ctl_fetch_ready(apr_pool_t *p, ctl_fetch_t *from);

/**
 * Ask for JSON.
 * @param request  NULL: GET
 * @param body     gets the answer
 * @return its status; 0: there was none, and it is told why
 */
long ctl_fetch(apr_pool_t *p, const ctl_fetch_t *from, const ctl_request_t *request, const char **body);

#endif /* CTL_FETCH_H */
