/**
 * @file  register_url.h
 * @brief The URL of a member: scheme, host and port; and the names of clusters and routes.
 */
#ifndef REGISTER_URL_H
#define REGISTER_URL_H

#include <apr.h>
#include <apr_network_io.h>

/** Longest host, without its NUL. */
#define REGISTER_HOST_MAX 255

typedef struct register_url_t {
    char scheme[6];                   /**< "https" */
    char host[REGISTER_HOST_MAX + 1]; /**< in small letters; an address without brackets */
    apr_port_t port;                  /**< never 0 */
} register_url_t;

/**
 * Read a URL such as "ajp://10.0.0.5:8009" or "http://[2001:db8::5]".
 * @param text  not NUL-terminated
 * @return NULL; else what is wrong with it, and @a url is not to be used
 */
const char *register_url_parse(register_url_t *url, const char *text, apr_size_t len);

/** Write it, with its port. @return 1; 0: it does not fit */
int register_url_format(char *to, apr_size_t size, const register_url_t *url);

/** Whether a text may be the name of a cluster: "app", "app@www.example.com:443". */
int register_name_is_cluster(const char *text, apr_size_t len);
/** Whether a text may be a route. */
int register_name_is_route(const char *text, apr_size_t len);

#endif /* REGISTER_URL_H */
