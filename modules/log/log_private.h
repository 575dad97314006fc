/**
 * @file  log_private.h
 * @brief What the files of mod_usher_log know of one another.
 *
 * log_conf.c      settings of a virtual host, and what its lines say of it
 * log_check.c     LogFormat lines: which items they have, and whether these exist
 * log_capture.c   UsherLogCapture: headers and cookies in the lines
 * log_id.c        the request's id
 * log_conns.c     requests in flight, of httpd and of each virtual host
 * log_request.c   when a request began, and when its head was read
 * log_times.c     times of a request
 * log_bytes.c     bytes of a request, by mod_logio where it is there
 * log_state.c     who ended it, and when
 * log_tls.c       TLS of its connection
 * log_facts.c     all that is known of it, put together once
 * log_common.c    what the lines have in common
 * log_line.c      %{usher}^US
 * log_httplog.c   %{httplog}^US
 * log_json.c      %{json}^US
 * log_items.c     the other %{...}^US; mod_log_config's way to all of them
 *
 * A request is logged by one thread. Nothing here belongs to a request that is not in its
 * pool, but the counts in shared memory (log_conns.c).
 */
#ifndef LOG_PRIVATE_H
#define LOG_PRIVATE_H

#include <string.h>

#include <httpd.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <util_time.h>

#include "usher_clock.h"
#include "usher_conf.h"
#include "usher_core.h"
#include "usher_cookie.h"
#include "usher_facts.h"
#include "usher_logtext.h"
#include "usher_tls.h"

extern module AP_MODULE_DECLARE_DATA usher_log_module;

/** The core; NULL: all is off. */
extern const usher_core_t *log_core;

/** Boot clock, microseconds. */
static inline apr_time_t log_now(void)
{
    return usher_clock_system()->boot_now();
}

/* log_capture.c */

typedef struct log_capture_t {
    const char *name;
    apr_size_t len_max;
    int of_answer;
} log_capture_t;

/** UsherLogCapture of a virtual host. */
typedef struct log_captures_t {
    apr_array_header_t *headers; /**< log_capture_t, in the order of the lines */
    log_capture_t cookie;        /**< name NULL: none */
} log_captures_t;

const char *log_capture_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);

/** A header as it is captured. @return 1; 0: there is none */
int log_capture_header(usher_span_t *value, const log_capture_t *capture, request_rec *first,
                       request_rec *last);

/** The captured cookie: as the client sent it, and as the answer sets it. As above. */
int log_capture_cookie_sent(usher_span_t *value, const log_captures_t *captures,
                            const request_rec *first);
int log_capture_cookie_set(usher_span_t *value, const log_captures_t *captures,
                           const request_rec *last);

/* log_conf.c */

/** Of a virtual host. */
typedef struct log_conf_t {
    log_captures_t *captures;    /**< NULL: none */
    const char *id_header;       /**< UsherLogIdHeader; NULL: not said; "": Off */
    /* For the lines, once the configuration is read. */
    usher_span_t name;           /**< of the virtual host, escaped; with its port */
    usher_span_t name_haproxy;   /**< without */
    const char *name_port;       /**< as name, not escaped; NULL: port is 0 */
    apr_port_t port;             /**< 0: that of the connection, and the name has none */
    apr_uint32_t number;         /**< of the virtual host; 0 is the main server */
} log_conf_t;

extern const command_rec log_conf_cmds[];
void *log_conf_create(apr_pool_t *p, server_rec *s);
void *log_conf_merge(apr_pool_t *p, void *base, void *add);
/** In check_config. @return how many servers there are */
apr_uint32_t log_conf_fill(apr_pool_t *p, server_rec *s);
const log_conf_t *log_conf_of(const server_rec *s);
/** "www.example.com:443" */
const char *log_conf_name_port(apr_pool_t *p, const server_rec *s, apr_port_t port);

/** Why a directive may not stand where it does; NULL: it may. */
const char *log_conf_why_not_here(const cmd_parms *cmd);

/* log_check.c */

/** Whether anything of this module is asked for. */
extern int log_check_is_used;

/** @return OK; !OK: an item that does not exist is asked for, and it may be refused */
int log_check_formats(apr_pool_t *p, server_rec *s);

/* log_request.c */

struct log_facts_t;

/** Of a request that came from a client; in the request_config of its first part. */
typedef struct log_record_t {
    apr_time_t began_at;  /**< boot clock: nothing of it was read; 0: not known */
    apr_time_t read_at;   /**< its head was read; 0: that did not happen */
    apr_interval_time_t read_took; /**< from its first line on */
    const char *id;       /**< ours; NULL: not made yet */
    unsigned int counted : 1; /**< it is in flight */
    unsigned int refused : 1; /**< httpd made an answer of its own: an error, or a redirect */
    unsigned int client_gone : 1; /**< before it was sent that answer, a 400 */
    const struct log_facts_t *facts; /**< once it is logged */
    apr_uint32_t number;  /**< of the virtual host where it is counted */
} log_record_t;

void log_request_pre_read(request_rec *r, conn_rec *c);
int log_request_post_read(request_rec *r);
void log_request_error(request_rec *r);

/** The part of a request that the client has sent. */
request_rec *log_request_first(request_rec *r);

/** Its record. */
log_record_t *log_request_record(request_rec *first);

/* log_id.c */

/** Of an id that we have made: letters, digits, '-' and '_'. */
#define LOG_ID_LEN 20

void log_id_child_init(apr_pool_t *pchild);
int log_id_generate(const conn_rec *c, const request_rec *r, const char **id);

/** The id of a request, by its first part. Never NULL. */
const char *log_id_of(request_rec *first);

/* log_conns.c */

void log_conns_check_config(apr_uint32_t servers);
int log_conns_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
void log_conns_child_init(apr_pool_t *pchild, server_rec *s);
void log_conns_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                            mpm_child_status state);
/** Count a request of a virtual host, by its number, until r->pool ends. */
void log_conns_count(request_rec *r, log_record_t *record);
/** How many there are, with this one. */
void log_conns_get(const log_record_t *record, apr_uint32_t number, apr_int64_t *all,
                   apr_int64_t *vhost);

/* log_facts.c */

/** What is known of a request. Times in microseconds; -1, '-' and NULL: not known. */
typedef struct log_facts_t {
    request_rec *first;   /**< as it came */
    request_rec *last;    /**< what answered it, after redirects within httpd */
    const log_conf_t *conf;
    const log_record_t *record;
    const char *id;
    char state[4];
    int proxied;          /**< a part of it went to a backend, by whatever handler */
    request_rec *backend_r; /**< the first one that mod_usher_backend served; NULL: none */
    usher_backend_facts_t backend;
    int balanced;
    usher_balancer_facts_t balancer;
    const char *cluster, *member;
    apr_interval_time_t read, queue, connect, first_byte, total;
    apr_interval_time_t send; /**< of the last attempt */
    apr_off_t bytes_in, bytes_out;
    apr_int64_t conns, vhost_conns, cluster_conns, member_conns, queue_len;
    const usher_tls_facts_t *tls; /**< mod_usher_tls's; NULL: none */
    const char *tls_version, *tls_cipher;
} log_facts_t;

void log_facts_post_config(void);

/** Of a request that is being logged. @param r  any part of it */
const log_facts_t *log_facts_of(request_rec *r);

/* log_times.c */

/** When it began, and its times. */
void log_times_fill(log_facts_t *facts);
/** How long its head took to be read, now that it is. */
apr_interval_time_t log_times_read(const log_record_t *record, const request_rec *r);

/* log_bytes.c */

void log_bytes_post_config(apr_pool_t *p);
void log_bytes_fill(log_facts_t *facts);

/* log_state.c */

void log_state_fill(log_facts_t *facts);
/** Whether the client has closed or reset its connection: a call to the system. */
int log_state_client_is_gone(conn_rec *c);

/* log_tls.c */

void log_tls_post_config(void);
void log_tls_fill(log_facts_t *facts);
/** The client's fingerprint; NULL: not known. */
const char *log_tls_ja4(const log_facts_t *facts);
/** Versions and ciphers that the client offered, as they are listed: "TLSv1.3,TLSv1.2".
 * @param hello  NULL: not known */
void log_tls_put_versions(usher_logtext_t *to, const usher_hello_t *hello);
void log_tls_put_ciphers(usher_logtext_t *to, const usher_hello_t *hello);

/* log_common.c */

/** A text of somebody's; "-" where it is NULL or empty. */
void log_put_text(usher_logtext_t *to, const char *text, usher_logtext_e where);
/** The request's line, as %r has it: without a password. */
void log_put_request_line(usher_logtext_t *to, request_rec *first, usher_logtext_e where);
const char *log_request_line(request_rec *first);
/** "22/Nov/2026:18:13:36", in the zone of this machine; and with " +0100" behind it. */
void log_put_time(usher_logtext_t *to, apr_time_t at);
void log_put_time_zone(usher_logtext_t *to, apr_time_t at);
/** {a|b}, of requests or of answers. @return 0: there are none, nothing was put */
int log_put_captures(usher_logtext_t *to, const log_facts_t *facts, int of_answer,
                     usher_logtext_e where);
/** Fields with several parts, and the lines. */
typedef void log_writer_t(usher_logtext_t *to, const log_facts_t *facts);
log_writer_t log_put_address, log_put_id, log_put_times, log_put_tries, log_put_bytes, log_put_conns,
             log_put_tls, log_put_cookie;
log_writer_t log_line_put, log_httplog_put, log_json_put;

/* log_items.c */

void log_items_pre_config(apr_pool_t *pconf);
/** Whether %{name}^US exists. */
int log_items_has(const char *name, apr_size_t len);

#endif /* LOG_PRIVATE_H */
