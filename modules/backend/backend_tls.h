/**
 * @file  backend_tls.h
 * @brief What the two files of TLS, backend_tls.c and backend_tls_watch.c, know
 *        of each other. Nobody else includes it.
 */
#ifndef BACKEND_TLS_H
#define BACKEND_TLS_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "backend_private.h"

/** What OpenSSL does, as it is seen from beside: mod_ssl tells its reasons to
 * the log only, and frees the session when a handshake fails. */
typedef struct backend_tls_watch_t {
    unsigned int on : 1;         /**< the session is watched: it is mod_ssl's */
    unsigned int finished_in : 1; /**< this side's and the other's last message of the */
    unsigned int finished_out : 1; /**< handshake: with both it has succeeded */
    unsigned int again : 1;      /**< the backend asked for another handshake (TLS 1.2) */
    unsigned int close_notify : 1; /**< came */
    int alert_in;                /**< a fatal one, of the backend; 0: none */
    int alert_out;               /**< a fatal one, of ours; 0: none */
    unsigned long reason;        /**< for that: OpenSSL's error code */
    long verify;                 /**< for that: X509_V_... */
    X509 *cert;                  /**< the backend's, until the handshake is over */
} backend_tls_watch_t;

/** TLS on a link. In a pool of its own, which its conn_rec uses; touched by the
 * one thread that has the link. */
struct backend_tls_t {
    apr_pool_t *pool;
    backend_link_t *link;
    conn_rec *c;
    apr_bucket_brigade *in_bb;
    apr_bucket_brigade *out_bb;
    const char *name;      /**< that was asked for and is checked */
    const char *id;        /**< with the settings: see backend_tls_id() */
    backend_tls_watch_t watch;
    SSL *ssl;              /**< mod_ssl's, which frees it when the handshake fails, and at
                            * farewell: used between these only */

    backend_exchange_t *x; /**< whose request it serves just now; NULL: idle */
    apr_time_t until;      /**< how long a wait within mod_ssl may last */
    backend_end_e end;     /**< of such a wait: why the request ends */
    unsigned int late : 1; /**< that time was over */
    unsigned int up : 1;   /**< the handshake is done, and mod_ssl is content */
    unsigned int shut : 1; /**< close_notify was sent, by backend_tls_shutdown() */
    unsigned int drained : 1; /**< the socket gave less than it was asked for */
    unsigned int starved : 1; /**< mod_ssl asked for more, and there was nothing */
    unsigned int dry : 1;  /**< nothing is left that could be read without a wait */
    unsigned int eof : 1;  /**< the socket has ended */
    unsigned int heard : 1; /**< something came */
    unsigned int foreign : 1; /**< what came first is no TLS */
    apr_status_t ended;    /**< how reading ended; it stays so */
    int error;             /**< errno of the socket; 0: none */

    /* Encrypted. What came is handed out in one piece and read by mod_ssl to its
     * end before it asks for more. */
    char *in;
    char *out;             /**< malloc'ed: waits for the socket */
    apr_size_t out_at;
    apr_size_t out_len;
    apr_size_t out_size;
    apr_size_t taken;      /**< bytes of the sender's that are encrypted in out and not yet
                            * told as sent */
    int told;              /**< some of them were */
};

/** Why the handshake failed, a phrase about the backend.
 * @param p  for the phrase */
const char *backend_tls_watch_why(const backend_tls_t *tls, apr_pool_t *p);

/** Whether only the name that was asked for made it fail. */
int backend_tls_watch_is_name(const backend_tls_t *tls);

/** Forget what only a failed handshake's reason needs. */
void backend_tls_watch_done(backend_tls_watch_t *watch);

#endif /* BACKEND_TLS_H */
