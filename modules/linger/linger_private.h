/**
 * @file  linger_private.h
 * @brief What the files of mod_usher_linger know of one another.
 *
 * linger_conf.c     the directives
 * linger_wait.c     a connection's thread waits for its next request
 * linger_threads.c  how many threads of this child are in use
 * linger_count.c    what became of it, in shared memory; mod_status shows it
 */
#ifndef LINGER_PRIVATE_H
#define LINGER_PRIVATE_H

#include <httpd.h>
#include <http_core.h>
#include <http_connection.h>
#include <http_protocol.h>

#include "usher_core.h"

extern module AP_MODULE_DECLARE_DATA usher_linger_module;

/* linger_conf.c */

typedef struct linger_conf_t {
    int on;
    apr_interval_time_t time;
    int hits_max;     /**< 0: no limit */
    int idle_percent; /**< of the main server alone */
} linger_conf_t;

extern const command_rec linger_conf_cmds[];
void *linger_conf_create(apr_pool_t *p, server_rec *s);
void *linger_conf_merge(apr_pool_t *p, void *base, void *add);

/** Whether connections linger anywhere, and the MPM is one where that helps. */
extern int linger_conf_is_on;
int linger_conf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s);
int linger_conf_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                            server_rec *s);

/** The settings of a server, without unset ones. */
const linger_conf_t *linger_conf_of(const server_rec *s);

/* linger_wait.c */

void linger_wait_child_init(apr_pool_t *pchild, server_rec *s);
int linger_wait_process_connection(conn_rec *c);
int linger_wait_post_read_request(request_rec *r);

/* linger_threads.c */

void linger_threads_child_init(apr_pool_t *pchild, server_rec *s);

/**
 * This thread has a connection to serve.
 * @param queued  it came from the MPM's queue: others may be waiting there too
 */
void linger_threads_enter(int queued);
void linger_threads_leave(void);

/**
 * Whether enough threads are idle for this one to wait, and the child accepts
 * connections.
 * @param id  of the connection, which tells the child
 */
int linger_threads_may_wait(long id);

/* linger_count.c */

/** What became of a connection after an answer. */
typedef enum {
    LINGER_HIT,          /**< waited: the next request came */
    LINGER_LAST,         /**< the same while the child stops: answered, then closed */
    LINGER_MISS,         /**< waited: nothing came */
    LINGER_CLOSED,       /**< waited: the client closed it */
    LINGER_SKIP_LATE,    /**< did not wait: its last requests came late */
    LINGER_SKIP_THREADS, /**< too few idle threads, or too many connections */
    LINGER_SKIP_CAP,     /**< enough hits in a row */
    LINGER_SKIP_OUTPUT,  /**< the client has yet to take the answer */
    LINGER_OUTCOMES
} linger_outcome_e;

extern const usher_memory_spec_t linger_count_spec;

/** @param base  of the piece of memory; NULL: nothing is counted */
void linger_count_use(void *base);

/** @param id  of the connection: who differ in it count in different cache lines */
void linger_count(linger_outcome_e outcome, long id);

/** mod_status's hook. */
int linger_count_status(request_rec *r, int flags);

#endif /* LINGER_PRIVATE_H */
