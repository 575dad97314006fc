/**
 * @file  balancer_probe_private.h
 * @brief Health checks in the background: what the files balancer_probe*.c know of one
 *        another.
 *
 * balancer_probe.c         who checks: a thread in the child that has the tick
 * balancer_probe_conf.c    UsherCheck
 * balancer_probe_run.c     one check: the steps from the look-up to the last byte
 * balancer_probe_answer.c  what is asked, and whether the answer is good
 * balancer_probe_expect.c  expect=
 * balancer_probe_tls.c     a check over TLS
 * balancer_probe_names.c   names of members are looked up beside the checks
 *
 * A check that is under way belongs to its checker's thread; what comes of it goes
 * into the member's record (usher_check.h).
 */
#ifndef BALANCER_PROBE_PRIVATE_H
#define BALANCER_PROBE_PRIVATE_H

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "balancer_private.h"
#include "usher_ajp.h"
#include "usher_http1.h"

/** Of a name with more addresses, so many are tried. */
#define PROBE_ADDRESSES_MAX 4
/** Bytes of a request, and of an answer's head. */
#define PROBE_BUF_SIZE 16384
/** Bytes of an answer's head and of the interim ones before it. */
#define PROBE_RECEIVE_MAX 65536

typedef struct probe_address_t {
    struct sockaddr_storage sockaddr;
    socklen_t len;
} probe_address_t;

/** What a check does next. */
typedef enum {
    PROBE_LOOKUP,
    PROBE_CONNECT,    /**< to the next address */
    PROBE_CONNECTING,
    PROBE_HANDSHAKE,
    PROBE_SEND,
    PROBE_RECEIVE
} probe_step_e;

/** What a step came to. */
typedef enum {
    PROBE_NEXT,  /**< the next step, at once */
    PROBE_WAIT,  /**< until poll() tells of fd and events */
    PROBE_ENDED  /**< result says how */
} probe_go_e;

/** A check that is under way. */
typedef struct probe_t {
    balancer_cluster_t *cluster;
    const balancer_probe_conf_t *conf;
    const balancer_members_t *members; /**< held */
    const balancer_member_t *member;   /**< one of them */
    int is_first;                 /**< it has signed in, and nothing is known of it yet */
    apr_uint32_t generation;      /**< of its record when the check began */
    usher_check_params_t params;
    usher_check_turn_t turn;
    apr_time_t began_at;          /**< boot clock, microseconds */
    apr_int64_t expires_at;       /**< boot clock, ms: the whole check */
    apr_int64_t step_expires_at;  /**< or the connect to one of several addresses */
    probe_step_e step;
    int fd;                       /**< -1: none */
    short events;
    probe_address_t addresses[PROBE_ADDRESSES_MAX];
    int addresses_len, addresses_tried;
    int addresses_ours;           /**< of them: not tried for want of something on this side */
    int error;                    /**< of the last connect that failed */
    SSL *ssl;                     /**< NULL: in clear */
    char *buf;                    /**< the request, then the answer; NULL: not yet */
    apr_size_t len, done;         /**< bytes in it, and how many of them are sent */
    apr_size_t received;          /**< bytes of the answer, interim ones too */
    usher_http1_head_t head;
    apr_uint32_t result;          /**< USHER_CHECK_RESULT() */
    const char *why;              /**< more about it, static; or NULL */
} probe_t;

/* balancer_probe_conf.c */

/** Of one member. */
usher_check_kind_e probe_conf_kind(const balancer_probe_conf_t *conf, const proxy_worker *worker);
void probe_conf_params(const balancer_probe_conf_t *conf, const balancer_member_t *member,
                       usher_check_params_t *params);
/** The word for it in UsherCheck. */
const char *probe_conf_word(usher_check_kind_e kind);
const char *probe_conf_method(const balancer_probe_conf_t *conf);

/* balancer_probe_run.c */

/** Begin a check; the fields above fd are set. */
void probe_run_begin(probe_t *probe);
/** Go on as far as possible. @return 1: it has ended */
int probe_run_go(probe_t *probe);
/** Its time, or that of its step, is over. @return 1: it has ended */
int probe_run_expired(probe_t *probe);
/** Give back what it holds. */
void probe_run_close(probe_t *probe);
/** For a step that ends the check. */
probe_go_e probe_run_end(probe_t *probe, usher_check_result_e what, int detail, const char *why);

/* balancer_probe_answer.c */

/** Write the request into buf. @return 0: there is no room for it */
int probe_answer_ask(probe_t *probe);
/** Look at the bytes in buf. @return PROBE_WAIT: there must come more */
probe_go_e probe_answer_look(probe_t *probe);

/* balancer_probe_expect.c */

/** Parse expect=. @return NULL, or what is wrong */
const char *probe_expect_parse(cmd_parms *cmd, const char *text, ap_expr_info_t **expression);
/** Whether the answer in probe->head is good. */
int probe_expect_is_met(const probe_t *probe, const char **why);

/* balancer_probe_tls.c */

/** Begin TLS on fd. @return 0: it could not be */
int probe_tls_begin(probe_t *probe);
probe_go_e probe_tls_handshake(probe_t *probe);
/** As send() and recv(); -1 with errno EAGAIN: probe->events is what to wait for. */
apr_ssize_t probe_tls_send(probe_t *probe, const char *bytes, apr_size_t len);
apr_ssize_t probe_tls_recv(probe_t *probe, char *bytes, apr_size_t len);
void probe_tls_close(probe_t *probe);
/** The last check of this child has ended. */
void probe_tls_stop(void);

/* balancer_probe_names.c */

typedef enum { PROBE_NAME_FOUND, PROBE_NAME_NONE, PROBE_NAME_WAIT } probe_name_e;

/**
 * The addresses of a host: at once where they are known or it is one itself, else
 * wake is called, by another thread, when a look-up has ended.
 */
probe_name_e probe_names_find(const char *host, apr_port_t port,
                              probe_address_t list[PROBE_ADDRESSES_MAX], int *len);
void probe_names_start(void (*wake)(void));
/** Wait for look-ups, but not for long. */
void probe_names_stop(void);

#endif /* BALANCER_PROBE_PRIVATE_H */
