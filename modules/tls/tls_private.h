/**
 * @file  tls_private.h
 * @brief What the files of mod_usher_tls know of one another.
 *
 * tls_conf.c    the directives
 * tls_watch.c   sees each handshake, from beside mod_ssl
 * tls_record.c  what is known of a connection's handshake, for who asks
 * tls_reason.c  why it failed
 * tls_ban.c     tells mod_usher_ban of those that failed
 * tls_vhost.c   which virtual host it was made with
 * tls_log.c     the handshake log: where it is written to
 * tls_line.c    and what
 * tls_stats.c   the statistics; tls_stats.h tells of their other files
 */
#ifndef TLS_PRIVATE_H
#define TLS_PRIVATE_H

#include <httpd.h>
#include <http_core.h>
#include <http_connection.h>
#include <http_protocol.h>

#include "usher_core.h"
#include "usher_ja4.h"
#include "usher_tls.h"
#include "usher_tls_answer.h"

extern module AP_MODULE_DECLARE_DATA usher_tls_module;

/* tls_conf.c */

typedef struct tls_log_t tls_log_t;

/** Of a server. */
typedef struct tls_conf_t {
    int on;
    const tls_log_t *log; /**< NULL: none; unset: log_set is USHER_UNSET */
    int log_set;
    apr_uint32_t vhost;   /**< its number in the statistics */
} tls_conf_t;

const char *tls_conf_set_on(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *tls_conf_set_log(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
void *tls_conf_create(apr_pool_t *p, server_rec *s);
void *tls_conf_merge(apr_pool_t *p, void *base, void *add);
int tls_conf_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);
int tls_conf_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/** The settings of a server, without unset ones once check_config has run. */
const tls_conf_t *tls_conf_of(const server_rec *s);

/** NULL: there is none, the module stays off. From check_config on. */
const usher_core_t *tls_conf_core(void);

/** Whether any server wants it. */
int tls_conf_is_on(void);

/** For others: usher_tls.h */
int usher_tls_is_on(const server_rec *s);

/* tls_record.c */

#define TLS_RECORD_HEAD 5

/**
 * What is seen of a connection's handshake. In its pool, and changed by its thread only; once
 * it is told, the facts stay as they are but for client_cert, and other threads read them.
 */
typedef struct tls_record_t {
    usher_tls_facts_t facts;
    conn_rec *c;
    apr_time_t begun;        /**< boot clock */
    usher_tls_answer_t answer;
    unsigned char head[TLS_RECORD_HEAD]; /**< of the first record that came */
    unsigned int head_len;
    unsigned int heard : 1;  /**< any byte came */
    unsigned int finished_in : 1;  /**< the client's and our last message of the handshake: */
    unsigned int finished_out : 1; /**< with both it has gone well, if no alert follows */
    unsigned int fatal : 1;  /**< there was an alert that ends it */
    unsigned int told : 1;   /**< it is over, and was told to all who count or log it */
    unsigned int ciphers_shared : 1; /**< with "no shared cipher": there are some, */
    unsigned int groups_differ : 1;  /**< but no group for them, */
    unsigned int sigalgs_differ : 1; /**< or no signature */
    apr_status_t ended;      /**< how reading from the client ended; 0: it did not */
    unsigned long error;     /**< OpenSSL's, with an alert of ours; 0: none */
    long verify;             /**< its X509_V_..., then */
    _Atomic int ja4_state;
    char ja4[USHER_JA4_SIZE];
} tls_record_t;

/** For a connection whose handshake begins. */
tls_record_t *tls_record_make(conn_rec *c);

/** The handshake may be over: if it is, tell it to all who count or log it, once. */
void tls_record_check(tls_record_t *record);

/** Copy what the hello points to, which OpenSSL will overwrite. */
void tls_record_keep_hello(tls_record_t *record, const usher_hello_t *hello);

/** The fingerprint; "" without a hello. @param p  for the text */
const char *tls_record_ja4(tls_record_t *record, apr_pool_t *p);

/** usher_tls.h tells of these two. */
const usher_tls_facts_t *tls_record_facts(conn_rec *c);
const char *tls_record_ja4_of(conn_rec *c, apr_pool_t *p);

int tls_record_process_connection(conn_rec *c);
int tls_record_log_transaction(request_rec *r);

/* tls_watch.c */

/** mod_ssl's hook, and the filter that sees how reading from the client ends. */
void tls_watch_register(void);

/* tls_vhost.c */

void tls_vhost_register(void);
void tls_vhost_pre_config(apr_pool_t *pconf);

/** @param ctx  OpenSSL's SSL_CTX of a connection @return NULL: not known */
server_rec *tls_vhost_of(const void *ctx);

/* tls_reason.c */

/** Whether what came first is no TLS. */
int tls_reason_is_foreign(const tls_record_t *record);

usher_tls_outcome_e tls_reason_outcome(const tls_record_t *record);

/** Whether it failed by what the client offered or sent. Not where it did not like what it got from
 * here (when a certificate expires, nobody shall be banned for it), went away, or was slow. */
int tls_reason_is_misconduct(usher_tls_outcome_e outcome);

/** In plain words. @return "" for a handshake that went well */
const char *tls_reason_text(const tls_record_t *record, apr_pool_t *p);

/* tls_ban.c */

void tls_ban_register(void);
/** A handshake has failed. */
void tls_ban_tell(const tls_record_t *record);

/* tls_line.c */

/** So long are lines at most: what is written to a pipe in one piece stays in one piece. */
#define TLS_LINE_SIZE 4096

/** @return the line's length, with its newline */
apr_size_t tls_line_put(char line[TLS_LINE_SIZE], tls_record_t *record, int json);

/* tls_log.c */

/** A handshake has ended. @param log  NULL: it is not logged */
void tls_log_put(const tls_log_t *log, tls_record_t *record);

/**
 * What a directive's arguments tell.
 * @param reason  stays NULL, else gets why they are refused
 * @return NULL: there shall be no log
 */
const tls_log_t *tls_log_declare(apr_pool_t *p, int argc, char *const argv[], const char **reason);

void tls_log_pre_config(void);
int tls_log_open_logs(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* tls_stats.c: called by the wiring file and by tls_record.c */

int tls_stats_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

/** The core is known: tls_conf_core(). Returns OK, or !OK to refuse. */
int tls_stats_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
int tls_stats_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/**
 * A handshake has ended, well or not: once for each connection, where UsherTLS is On.
 * In the thread that has the connection; perhaps from a cleanup of its pool.
 */
void tls_stats_handshake(conn_rec *c, const usher_tls_facts_t *facts);

/** A request has ended: once for each, in log_transaction, in the thread that logs it.
 * @param r  the first one of internal redirects' chain */
void tls_stats_request(request_rec *r, const usher_tls_facts_t *facts);

#endif /* TLS_PRIVATE_H */
