/**
 * @file  backend_private.h
 * @brief What the files of mod_usher_backend know of each other.
 *
 * backend_conf.c      directives
 * backend_scheme.c    http, https, ws, wss, ajp
 * backend_canon.c     the URL as it may be sent
 * backend_handler.c   mod_proxy's hooks: which requests are ours
 * backend_pick.c      the picker for plain workers and stock balancers
 * backend_exchange.c  the attempt loop: members, replays, what the client gets
 * backend_attempt.c   one attempt: connect, send, receive; all its waiting
 * backend_connect.c   the link: a kept one, or a new one
 * backend_head.c      the head of the request that is sent
 * backend_body.c      the client's body, and what is held of it
 * backend_gulp.c      a large one, read in large pieces
 * backend_send.c      the sender
 * backend_receive.c   the receiver, up to the end of the head
 * backend_http.c      what the protocol HTTP/1 makes of both
 * backend_http_head.c its request head
 * backend_ajp.c       what AJP makes of them
 * backend_ajp_head.c  its request head
 * backend_answer.c    the head of the answer, as the client gets it
 * backend_relay.c     the body of the answer
 * backend_splice.c    a large one, from socket to socket
 * backend_client.c    the client's connection: is it still there?
 * backend_tunnel.c    after 101 Switching Protocols
 * backend_tunnel_client.c  the client's side of that
 * backend_stop.c      the child shall end now
 * backend_link.c      a connection to a backend
 * backend_location.c  URLs in an answer, as the client shall have them
 * backend_connect_proxy.c  through a proxy's CONNECT (ProxyRemote, TLS)
 * backend_tls.c       TLS on it, by mod_ssl
 * backend_tls_conf.c  whether mod_ssl is there where backends want TLS
 * backend_tls_watch.c what happens there: alerts, why a handshake failed
 * backend_section.c   which <Proxy> sections hold for a request
 * backend_target.c    a backend server in this child: addresses, idle links
 * backend_keeper.c    the thread that looks after the targets
 * backend_record.c    the registry's records of balancers and workers
 * backend_note.c      what the log and the environment are told
 *
 * Threads: a request is worked on by one thread at a time, never assumed to
 * be the same one. Targets are shared by all threads of a child, each under
 * its own mutex. Nothing is shared between children here.
 */
#ifndef BACKEND_PRIVATE_H
#define BACKEND_PRIVATE_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <httpd.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <mod_proxy.h>

#include "usher_clock.h"
#include "usher_conf.h"
#include "usher_core.h"
#include "usher_facts.h"
#include "usher_http1.h"
#include "usher_picker.h"

extern module AP_MODULE_DECLARE_DATA usher_backend_module;

/* backend_conf.c */

typedef enum { BACKEND_REPLAY_OFF, BACKEND_REPLAY_SAFE, BACKEND_REPLAY_IDEMPOTENT } backend_replay_e;
typedef enum { BACKEND_FIN_GONE, BACKEND_FIN_HALFCLOSE, BACKEND_FIN_AUTO } backend_fin_e;

/** Settings of a place in the configuration. Unset: USHER_UNSET; read them
 * through the functions below, which know the defaults. Times in microseconds. */
typedef struct backend_conf_t {
    int on;
    apr_interval_time_t connect_max;
    apr_interval_time_t send_max;
    apr_interval_time_t first_max;
    apr_interval_time_t between_max;
    apr_interval_time_t total_max; /**< 0: off */
    apr_int64_t head_max;          /**< bytes */
    apr_int64_t fields_max;
    int replay;                    /**< backend_replay_e */
    int client_fin;                /**< backend_fin_e */
    apr_int64_t hold_memory;       /**< bytes of a body held for a replay */
    apr_int64_t hold_file;
    apr_int64_t budget_percent;
    apr_interval_time_t budget_within;
    apr_int64_t budget_least;
    int rest;                      /**< whether members rest at all */
    apr_int64_t rest_failures;
    apr_interval_time_t rest_within;
    apr_interval_time_t rest_time;
    apr_interval_time_t rest_slowstart;
    apr_int64_t rest_share;        /**< percent */
} backend_conf_t;

void *backend_conf_create(apr_pool_t *p, char *dir);
void *backend_conf_merge(apr_pool_t *p, void *base, void *add);
extern const command_rec backend_conf_cmds[];

/**
 * The settings for a request, with all defaults filled in.
 * @return in r->pool
 */
const backend_conf_t *backend_conf_of(request_rec *r);

/** Tell a picker what the directives say. */
void backend_conf_picker(const backend_conf_t *conf, usher_picker_t *picker);

/** Whether Usher serves this request (UsherBackend). */
int backend_conf_is_on(request_rec *r);

/* backend_scheme.c */

/** What a URL's scheme means. */
typedef struct backend_scheme_t {
    const char *name;
    apr_size_t name_len;
    apr_port_t port;           /**< where the URL has none */
    const char *upgrade;       /**< the protocol that is always switched to when a
                                * client asks for it; NULL: as upgrade= says */
    unsigned int tls : 1;
    unsigned int ajp : 1;      /**< else HTTP/1 */
} backend_scheme_t;

/** The scheme of a URL that has "://". @return NULL: not served here */
const backend_scheme_t *backend_scheme_of(const char *url);

/** The scheme of this name. @return NULL: not served here */
const backend_scheme_t *backend_scheme_named(const char *name, apr_size_t len);

/* backend_canon.c */

/** The bytes of scheme, host and port of a URL; 0: they need the canon handler. */
apr_size_t backend_canon_server(const char *url);

/** Whether a URL of a backend, without its query, needs no canon handler.
 * @param server_len  as backend_canon_server() says */
int backend_canon_is_done(request_rec *r, const char *url, apr_size_t server_len);

/** mod_proxy's canon_handler for the schemes that are served here. */
int backend_canon(request_rec *r, char *url);

/* backend_target.c: a backend server, as this child knows it */

#define BACKEND_ADDRESSES_MAX 16

typedef struct backend_address_t {
    struct sockaddr_storage addr;
    socklen_t len;
    /** Boot clock; until then it is tried after the others: it did not answer. */
    apr_time_t dead_until;
} backend_address_t;

typedef struct backend_target_t backend_target_t;
typedef struct backend_link_t backend_link_t;
typedef struct backend_tls_t backend_tls_t;

/**
 * Where a link goes. Lives as long as the child, but for a transient one, and for that of a
 * member that may go.
 */
struct backend_target_t {
    /* What it was made of; does not change. */
    const void *key;          /**< the worker */
    unsigned char id[16];     /**< of a registered member, else zeros */
    apr_uint32_t generation;
    const char *name;         /**< "host:port" or the socket's path, for the log */
    const char *host;
    const char *uds_path;     /**< NULL: TCP */
    apr_port_t port;
    int transient;            /**< one request's own: nothing is kept */
    int tls;                  /**< its links speak TLS */
    int literal;              /**< an address, not a name: never looked up again */
    int idle_max;             /**< links kept at most */
    int links_max;            /**< links at most, in this child; 0: any number */
    int idle_min;             /**< so many stay whatever their age */
    apr_interval_time_t ttl;  /**< of an idle link; 0: no limit */
    apr_interval_time_t address_ttl;

    void *mutex;              /**< apr_thread_mutex_t, guards what follows */
    void *freed;              /**< apr_thread_cond_t: a link was given back */
    void *resolved;           /**< apr_thread_cond_t: a lookup is over */
    backend_address_t addresses[BACKEND_ADDRESSES_MAX];
    int addresses_len;
    apr_time_t looked_up_at;  /**< boot clock; 0: never */
    unsigned int wanted;      /**< counts who wants one; and how many of them */
    unsigned int served;      /**< have got it */
    int looking_up;           /**< a thread does it just now */
    backend_link_t *idle;     /**< the last one used first */
    int idle_len;
    int links_len;            /**< idle and busy */
    backend_target_t *_Atomic next; /**< of all targets */
    backend_target_t *next_of_key;  /**< of its bucket, or of its member; such lists only grow */
    _Atomic int gone;         /**< its member is, and nobody asks for it any more */
    apr_pool_t *pool;         /**< its own; NULL: it stays */
};

/** Per child: memory for targets, and the keeper. */
void backend_target_child_init(apr_pool_t *pchild, server_rec *s);

/**
 * The target of a worker or member. Made at its first use.
 * @param uds_path  NULL for TCP
 * @param reusable  0: a transient target in r->pool
 */
backend_target_t *backend_target_get(request_rec *r, const usher_member_t *member,
                                     const backend_scheme_t *scheme, const char *host,
                                     apr_port_t port, const char *uds_path, int reusable);

/** All targets of this child, newest first: for the keeper. */
backend_target_t *backend_target_all(void);

/** A registered member is gone: its targets may go too. @param kept  of usher_member_t */
void backend_target_forget(void *kept);

/** Free the targets that are gone, once nobody has anything of theirs: the keeper's, between
 * its walks over all of them. */
void backend_target_sweep(void);

/**
 * The addresses to connect to, best first. A name that was never looked up is
 * waited for.
 * @param wait_max  microseconds for that
 * @param list      gets them
 * @return how many; 0: the name is not known
 */
int backend_target_addresses(backend_target_t *target, apr_interval_time_t wait_max,
                             backend_address_t list[BACKEND_ADDRESSES_MAX]);

/** Whether a lookup of its name has ended, with or without an address. */
int backend_target_was_looked_up(backend_target_t *target);

/** An address refused or did not answer: others are tried before it for a
 * while. */
void backend_target_address_failed(backend_target_t *target, const backend_address_t *address);

/**
 * Look the name up again because no address was good; waits for it a second at
 * most.
 * @param list   has those that were tried; new ones are put behind them
 * @param tried  how many
 * @return how many new ones
 */
int backend_target_refresh(backend_target_t *target,
                           backend_address_t list[BACKEND_ADDRESSES_MAX], int tried);

/** Have the name looked up where it is time: the keeper's. Does not block. */
void backend_target_lookup_if_due(backend_target_t *target);

/** Look the name up now, and keep what comes of it. Blocks. */
void backend_target_lookup(backend_target_t *target);

/* backend_link.c: a connection to a backend */

struct backend_link_t {
    int fd;
    backend_target_t *target;
    backend_tls_t *tls;        /**< NULL: none, or not begun */
    int waits;                 /**< backend_link_await() can */
    backend_address_t address; /**< where it goes; len 0 for a unix socket */
    apr_port_t local_port;     /**< 0 for a unix socket */
    apr_time_t idle_since;     /**< boot clock */
    apr_time_t leave_at;       /**< boot clock: not to be used from then on; 0: never */
    backend_link_t *next;      /**< in the target's list of idle ones */
};

/** What a link's function says of a transfer. */
typedef enum {
    BACKEND_IO_DONE,  /**< some bytes went */
    BACKEND_IO_AGAIN, /**< wait for the descriptor */
    BACKEND_IO_EOF,   /**< the backend closed in good order */
    BACKEND_IO_FAILED /**< reset, or another error: *error */
} backend_io_e;

/**
 * Take a kept link that is alive.
 * @param id        one with such TLS: backend_tls_id(); NULL: without
 * @param idle_max  microseconds: only one that was used more recently
 * @return NULL where there is none
 */
backend_link_t *backend_link_reuse(backend_target_t *target, const char *id,
                                   apr_interval_time_t idle_max);

/**
 * Make room for a new link of the target, under its limit.
 * @param id           as above, for one that is kept
 * @param wait_max     microseconds to wait for one to be given back
 * @param may_be_kept  the one given back may be used as it is
 * @return a link without a socket, or a kept one; NULL: the limit is reached
 */
backend_link_t *backend_link_new(backend_target_t *target, const char *id,
                                 apr_interval_time_t wait_max, int may_be_kept);

/**
 * Begin to connect. The link's socket is closed first where it has one.
 * @param error  gets an errno when it failed
 * @return DONE: connected; AGAIN: wait until it is writable, then ask
 *         backend_link_connected(); FAILED
 */
backend_io_e backend_link_connect(backend_link_t *link, request_rec *r,
                                  const backend_address_t *address,
                                  proxy_worker *worker, int *error);

/** How a connect that was waited for went: DONE or FAILED. */
backend_io_e backend_link_connected(backend_link_t *link, int *error);

/**
 * Send, as much as goes without waiting.
 * @param iov   after AGAIN the next call must begin with the same bytes: with TLS they
 *              may be encrypted already
 * @param sent  gets how many bytes the socket has taken
 */
backend_io_e backend_link_send(backend_link_t *link, const struct iovec *iov,
                               int iov_len, apr_size_t *sent, int *error);

/** Receive, as much as is there. */
backend_io_e backend_link_recv(backend_link_t *link, char *buf, apr_size_t size,
                               apr_size_t *len, int *error);

/** How long backend_link_await() waits at most, microseconds. */
#define BACKEND_AWAIT 50000

/** Receive what is there, or wait a moment for it: BACKEND_AWAIT, where the link can. One
 * call to the system instead of two. AGAIN: nothing came. */
backend_io_e backend_link_await(backend_link_t *link, char *buf, apr_size_t size,
                                apr_size_t *len, int *error);

/** Receive into a pipe, from a link without TLS. EINVAL: the system cannot do that. */
backend_io_e backend_link_splice(backend_link_t *link, int pipe, apr_size_t size,
                                 apr_size_t *len, int *error);

/** Whether decrypted bytes may wait that the descriptor tells nothing of. */
int backend_tls_has_more(const backend_tls_t *tls);

/** Whether it is such TLS: backend_tls_id(). @param tls  NULL: no TLS, no */
int backend_tls_is_for(const backend_tls_t *tls, const char *id);

/** Whether there may be more after a receive that asked for so many bytes, and got so
 * many: else it would be AGAIN, and the descriptor tells when to ask. */
static inline int backend_link_has_more(const backend_link_t *link, apr_size_t asked,
                                        apr_size_t got)
{
    return link->tls ? backend_tls_has_more(link->tls) : got == asked;
}

/** Whether a link has such TLS; NULL: any link will do. */
static inline int backend_link_is_for(const backend_link_t *link, const char *id)
{
    return !id || backend_tls_is_for(link->tls, id);
}

/**
 * Tell the backend that nothing more will be sent; it may go on sending.
 * @return DONE; AGAIN: once more when the link can be written; FAILED: *error
 */
backend_io_e backend_link_shutdown(backend_link_t *link, int *error);

/** Give a link back, to be kept for the next request. It may be closed instead. */
void backend_link_release(backend_link_t *link);

/** Close a link. What was sent is still delivered. */
void backend_link_close(backend_link_t *link);

/** Close it with a reset, so that the backend need not wait for what will never
 * come, nor send what nobody reads. */
void backend_link_abort(backend_link_t *link);

/** Close what is not good any more of a target's idle links: the keeper's. */
void backend_link_sweep(backend_target_t *target);

/* backend_keeper.c */

/** Start the thread that closes idle links. */
void backend_keeper_child_init(apr_pool_t *pchild, server_rec *s);

/** Look a target's name up in a thread of its own: backend_target_lookup().
 * @return 0: too many names are looked up just now, or the child ends */
int backend_keeper_lookup(backend_target_t *target);

/** After a call that may take long: does not return where the child has ended
 * meanwhile, and only this thread is left of it. */
void backend_keeper_outlived(void);

/* The request */

/** Who ended it and when: the letters of HAProxy's termination state. */
typedef struct backend_state_t {
    char who;   /**< '-', 'C', 'S', 'P', 'c', 's' */
    char phase; /**< '-', 'R', 'C', 'H', 'D' */
} backend_state_t;

#define BACKEND_ATTEMPTS_MAX 16
/** Pieces of a request's body that are sent at once. */
#define BACKEND_PIECES_MAX 16
/** Variables of the environment that name a balancer's member. */
#define BACKEND_ENV_LEN 3

/** How the client's body is sent on. */
typedef enum {
    BACKEND_BODY_NONE,
    BACKEND_BODY_LENGTH,
    BACKEND_BODY_CHUNKED
} backend_framing_e;

/** The client's body. Offsets count its bytes from the first one. */
typedef struct backend_body_t {
    backend_framing_e framing;
    apr_off_t length;         /**< with BACKEND_BODY_LENGTH: the bytes announced */
    apr_off_t read;           /**< bytes that the client has sent so far */
    unsigned int begun : 1;   /**< backend_body_begin() was here */
    unsigned int eos : 1;     /**< it has sent all */
    unsigned int withheld : 1; /**< the client waits for 100 Continue */
    unsigned int both : 1;    /**< it came with a length and a coding: close
                               * the connection after it */
    unsigned int gap : 1;     /**< bytes were sent on without being held: it
                               * cannot be sent again */
    /* What is held: the bytes up to held = mem_len + file_len. */
    unsigned int keep : 1;    /**< go on holding what comes */
    char *mem;
    apr_size_t mem_len;
    apr_size_t mem_size;
    int file;                 /**< a descriptor; -1: none */
    apr_off_t file_len;
    /* What was read and is not held: lies in bb. */
    apr_bucket_brigade *bb;   /**< NULL: there is no body */
    apr_status_t ahead_rv;    /**< how a read failed that was ahead of what is asked for */
} backend_body_t;

/** Where the sending of an attempt is. */
typedef enum {
    BACKEND_SEND_HEAD,
    BACKEND_SEND_AWAIT_PONG, /**< AJP: nothing goes before a CPING is answered */
    BACKEND_SEND_AWAIT_100, /**< the body is withheld until the backend says so */
    BACKEND_SEND_AWAIT_ASK, /**< AJP: until it asks for more of it */
    BACKEND_SEND_BODY,
    BACKEND_SEND_DONE,
    BACKEND_SEND_STOPPED    /**< not all was sent: the answer came early */
} backend_send_e;

/** Where the receiving is. */
typedef enum {
    BACKEND_RECV_HEAD,
    BACKEND_RECV_BODY,
    BACKEND_RECV_TRAILERS,
    BACKEND_RECV_DONE,
    BACKEND_RECV_TUNNEL
} backend_recv_e;

typedef enum {
    BACKEND_ENDS_NOW,    /**< the answer has no body */
    BACKEND_ENDS_LENGTH,
    BACKEND_ENDS_CHUNKED,
    BACKEND_ENDS_CLOSE,
    BACKEND_ENDS_PACKET  /**< AJP: by END_RESPONSE */
} backend_ends_e;

/** What came of an attempt. */
typedef enum {
    BACKEND_END_NONE,      /**< it goes on */
    BACKEND_END_ANSWERED,  /**< the answer is with the client, whole */
    BACKEND_END_OVERRIDE,  /**< httpd's own page shall take its place */
    BACKEND_END_UPGRADED,  /**< became a tunnel, which is over */
    BACKEND_END_NO_LINK,   /**< refused, unreachable or the like: nothing sent */
    BACKEND_END_WITHHELD,  /**< cut or timed out before the body was asked for */
    BACKEND_END_CUT,       /**< by the backend, before the answer's head was whole */
    BACKEND_END_TIMEOUT,
    BACKEND_END_MALFORMED,
    BACKEND_END_FILTERED,  /**< one of httpd's filters answered in its place */
    BACKEND_END_UNWANTED,  /**< failonstatus= names its status; another member is
                            * there */
    BACKEND_END_CLIENT     /**< by the client: gone, too slow, or a bad body */
} backend_end_e;

typedef struct backend_exchange_t backend_exchange_t;

/** What is different between the protocols on a link. */
typedef struct backend_protocol_t {
    /** Make x->head for this attempt's member.
     * @return OK, or an HTTP status: the client's or the configuration's fault */
    int (*head)(backend_exchange_t *x);
    /** Put what comes next of the request into out[], which is empty. Where nothing
     * does, x->sending or *want tells what is awaited, or that all is sent. */
    backend_end_e (*queue)(backend_exchange_t *x, int *want);
    /** Understand what is in x->in, up to the head of the final answer. */
    backend_end_e (*answer)(backend_exchange_t *x);
    /**
     * Tell the next field of an answer's head.
     * @param head  a copy of it, which names and values may point into
     * @param at    x->answer.fields_at for the first one; moves on
     * @return 1, or 0 after the last one
     */
    int (*next_field)(const backend_exchange_t *x, char *head, apr_size_t *at,
                      const char **name, const char **value);
    /** Understand bytes that follow the head: of them, only what is the answer's
     * body stays in buf. */
    backend_end_e (*body)(backend_exchange_t *x, char *buf, apr_size_t *len);
} backend_protocol_t;

extern const backend_protocol_t backend_http;
extern const backend_protocol_t backend_ajp;

/** One request from its arrival to its end. In r->pool. */
struct backend_exchange_t {
    request_rec *r;
    proxy_server_conf *sconf;
    proxy_dir_conf *dconf;
    const backend_conf_t *conf;
    const proxy_worker *chosen; /**< by mod_proxy: the one it may blame */
    const char *remote_host;  /**< of ProxyRemote; NULL: none */
    apr_port_t remote_port;
    const char *upgrade;      /**< the protocol asked for; NULL: none */
    unsigned int force_1_0 : 1;
    unsigned int replayable : 1; /**< by its method and the configuration */
    apr_table_t *headers_out; /**< r's, as before the first answer; so these: */
    int status_before;
    const char *status_line_before;
    const char *content_type_before;

    usher_picker_t *picker;
    usher_member_t member;
    unsigned int has_member : 1; /**< and the picker awaits done() for it */
    usher_member_t next_member; /**< chosen ahead, with has_next */
    const char *next_env[BACKEND_ENV_LEN];
    unsigned int has_next : 1;
    usher_outcome_e outcome;  /**< of the member's last attempt */

    backend_body_t body;
    unsigned int deliveries;  /**< attempts of which bytes were sent */
    unsigned int replays;

    /* The attempt */
    apr_uri_t uri;            /**< of this member */
    const backend_scheme_t *scheme; /**< its scheme */
    const backend_protocol_t *protocol; /**< and that one's */
    backend_target_t *target;
    backend_link_t *link;
    unsigned int fresh_only : 1; /**< no kept link for the next attempt */
    unsigned int reused : 1;  /**< the link was a kept one */
    unsigned int name_refused : 1; /**< TLS failed by the name that the client chose
                               * (ProxyPreserveHost): not the backend's fault */
    unsigned int link_close : 1; /**< not to be kept afterwards */
    unsigned int head_close : 1; /**< the head says so already */
    backend_send_e sending;
    backend_recv_e receiving;
    int out_len;              /**< pieces in out[] */
    int out_at;
    char *head;               /**< of the request */
    apr_size_t head_len;
    apr_off_t body_at;        /**< body bytes put into out[] */
    int out_buckets;          /**< of these, from bb: released once sent */
    char *file_buf;
    unsigned int expects_100 : 1; /**< Expect: 100-continue was sent */
    unsigned int body_ended : 1;  /**< the end of the body was put into out[] */
    unsigned int pinged : 1;  /**< AJP: the link has proved itself, or need not */
    apr_size_t asked;         /**< AJP: bytes of the body that may be sent now */
    unsigned int something_sent : 1; /**< bytes went over the link */

    char *in;                 /**< what came and is not yet understood */
    apr_size_t in_len;
    apr_size_t in_size;
    unsigned int in_fresh : 1; /**< it came with the head, and is not looked at yet */
    usher_http1_head_t answer;
    const char *connection;   /**< what its Connection names; NULL: nothing unusual */
    const char *upgrade_to;   /**< its Upgrade; NULL: none */
    int interims;
    backend_ends_e ends;
    usher_http1_chunks_t chunks;
    apr_size_t packet_left;   /**< AJP: bytes of a body packet that are to come */
    apr_off_t body_received;  /**< bytes of the answer's body, without framing */
    unsigned int bodyless : 1; /**< AJP: the answer has none, though its end comes */
    unsigned int whole : 1;   /**< AJP: only that end is missing */
    unsigned int client_done : 1; /**< the client has its answer, and that it is over */
    unsigned int drop_body : 1; /**< what has not come of the client's body is of no use */
    unsigned int barren;      /**< AJP: packets without anything in them since */
    apr_time_t barren_since;  /**< this, boot clock */
    unsigned int dropping : 1; /**< httpd's own page shall take its place */
    apr_off_t drop_until;     /**< with that: no more than up to this bytes_in */

    int *pipe;                /**< its two ends, once the body goes through it; NULL: none */
    unsigned int no_splice : 1; /**< it cannot: see backend_splice.c */
    unsigned int splice_dry : 1; /**< the last look there found nothing */

    apr_bucket_brigade *relay_bb; /**< on its way to the client */
    apr_bucket_brigade *read_bb;  /**< backend_client_brigade() */

    /* The client */
    unsigned int passed : 1;  /**< something of the answer went to it */
    unsigned int unflushed : 1; /**< and may still lie in httpd's buffers */
    unsigned int client_gone : 1;
    unsigned int client_fin : 1; /**< half closed: not looked at any more */
    unsigned int client_pipelined : 1; /**< there is more from it; wait for its end only */
    int client_fd;            /**< -1: none to be polled (HTTP/2) */
    unsigned int readable : 1; /**< the link has something, as far as is known */
    unsigned int awaits : 1;  /**< or will have it in a moment: the next receive waits for it */
    unsigned int awaited : 1; /**< it has: poll() from now on */

    /* Time: boot clock */
    apr_time_t arrived_at;
    apr_time_t began_at;      /**< of the attempt */
    apr_time_t connected_at;
    apr_time_t sent_at;       /**< the request's last byte */
    apr_time_t first_at;      /**< the answer's first byte; 0: none came */
    apr_time_t progress_at;   /**< when bytes went last, in either direction */
    apr_time_t client_at;     /**< when the client's body is waited for; 0: it is not */
    apr_time_t total_deadline; /**< 0: none */
    apr_time_t ended_at;      /**< the handler was done; 0: it is not */

    /* For the log */
    int traces_len;
    apr_off_t bytes_out;
    apr_off_t bytes_in;
    backend_state_t state;
    const char *why;          /**< of the attempt's end, a phrase */
    int status;               /**< what the handler returned; 0: not yet */

    /* Not zeroed at the beginning: from out[] on. */
    struct iovec out[BACKEND_PIECES_MAX + 2]; /**< what is being sent */
    char frame[24];           /**< what frames the piece of body in out[] */
    usher_attempt_facts_t traces[BACKEND_ATTEMPTS_MAX];
    backend_address_t addresses[BACKEND_ADDRESSES_MAX];
};

/** Whether the name of a field is the known one. Nearly all are written in the same way. */
static inline int backend_name_is(const char *name, const char *known)
{
    return !strcmp(name, known) || ap_cstr_casecmp(name, known) == 0;
}

/** Boot clock, microseconds. */
static inline apr_time_t backend_now(void)
{
    return usher_clock_system()->boot_now();
}

/* backend_exchange.c */

/**
 * Carry a request to a member and the answer back: attempts until one is
 * answered, or none may follow.
 * @return what the scheme handler returns to mod_proxy
 */
int backend_exchange_run(backend_exchange_t *x);

/**
 * Whether an answer of this status shall rather come from another member
 * (failonstatus=): that one is then chosen, and the budget is charged.
 */
int backend_exchange_wants_other(backend_exchange_t *x, int status);

/** Whether a sound member is there that may serve the request in place of the
 * present one: no session binds it. */
int backend_exchange_has_other(backend_exchange_t *x);

/** The rest of the client's body will not be read: its connection must end
 * after the answer. Best before the answer's head is passed on. */
void backend_exchange_drop_body(backend_exchange_t *x);

/** Done with the link: keep it for others where it is good, or close it.
 * @param whole  the answer was read to its end */
void backend_exchange_release(backend_exchange_t *x, int whole);

/* backend_attempt.c */

/** Do what can be done without waiting, wait, and again, until it is over. */
backend_end_e backend_attempt_run(backend_exchange_t *x);

/* What backend_attempt_wait() waits for */
#define BACKEND_WANT_LINK_IN  1
#define BACKEND_WANT_LINK_OUT 2
#define BACKEND_WANT_BODY     4 /**< of the client */

/**
 * Wait for the link or the client.
 * @param until  when this phase is over, on the boot clock
 * @param late   set when it is, or the request's total time
 * @return CLIENT when the client is gone, else NONE
 */
backend_end_e backend_attempt_wait(backend_exchange_t *x, int want, apr_time_t until, int *late);

/** How long the link may make no progress, where nothing else is configured:
 * timeout= and what it inherits from. */
apr_interval_time_t backend_attempt_io_max(const backend_exchange_t *x);

/** How an attempt ends whose time is over. NONE: it goes on in another way. */
backend_end_e backend_attempt_timed_out(backend_exchange_t *x);

/** How an attempt ends whose link broke. @param why  for the log */
backend_end_e backend_attempt_cut(backend_exchange_t *x, const char *why);

/** How an attempt ends whose answer must not be passed on. */
backend_end_e backend_attempt_malformed(backend_exchange_t *x, const char *why);

/* backend_connect.c */

/** Get x->link for this attempt. */
backend_end_e backend_connect(backend_exchange_t *x);

/** How long a connect to one address may take. */
apr_interval_time_t backend_connect_max(const backend_exchange_t *x);

/* backend_tls.c, backend_tls_conf.c, backend_tls_watch.c: TLS on a link */

/** mod_ssl's hook, and the filters below it. */
void backend_tls_register(void);
void backend_tls_watch_register(void);

/** Warn of https and wss backends where no module serves them. */
void backend_tls_check_config(server_rec *s);

/** Per child: the parent of the links' pools. */
void backend_tls_child_init(apr_pool_t *pchild);

/** What makes a difference between links of one target: the virtual host and the
 * <Proxy> sections, whose SSLProxy* directives hold, and the name that the backend is
 * asked for. In r->pool. */
const char *backend_tls_id(const backend_exchange_t *x);

/** Whether a module is there that knows TLS. Else the log tells what to do.
 * @return NONE, or NO_LINK with x->why */
backend_end_e backend_tls_is_loaded(backend_exchange_t *x);

/**
 * Begin TLS on x->link, which is connected: the whole handshake, and mod_ssl's checks.
 * Waits. A link that failed is of no use any more.
 * @param until  boot clock: not longer than that
 * @param error  gets an errno when it failed, ETIMEDOUT when it took too long; else 0
 * @param why    gets a phrase about the backend then, in r->pool
 * @return NONE; or how the request's attempt ends: its client went away, or TLS to
 *         backends is not configured here
 */
backend_end_e backend_tls_begin(backend_exchange_t *x, apr_time_t until, int *error,
                                const char **why);

/** As backend_link_send() and backend_link_recv(). An end without close_notify is
 * FAILED: what came before it may lack its end. */
backend_io_e backend_tls_send(backend_tls_t *tls, const struct iovec *iov, int iov_len,
                              apr_size_t *sent, int *error);
backend_io_e backend_tls_recv(backend_tls_t *tls, char *buf, apr_size_t size, apr_size_t *len,
                              int *error);

/** An idle one: nothing came but TLS's own messages, which are taken in. Does not
 * block. */
int backend_tls_is_quiet(backend_tls_t *tls);

/** A request is done with it, another one begins. */
void backend_tls_rest(backend_tls_t *tls);
void backend_tls_resume(backend_tls_t *tls, backend_exchange_t *x);

/** As backend_link_shutdown(). Before TLS 1.3 the backend ends as well. */
backend_io_e backend_tls_shutdown(backend_tls_t *tls, int *error);

/** Send close_notify, if that goes without waiting. */
void backend_tls_farewell(backend_tls_t *tls);

/** Free a link's TLS, and close its socket with it. */
void backend_tls_free(backend_link_t *link);

/** What an error of a link means: strerror(), or in what way TLS ended.
 * @param link  NULL, or without TLS: strerror() */
const char *backend_tls_strerror(const backend_link_t *link, int error, apr_pool_t *p);

/* backend_section.c */

/** The sections that mod_proxy has applied, as a number; 0: none. */
apr_uint64_t backend_section_key(request_rec *r, const proxy_server_conf *conf);

/* backend_connect_proxy.c */

/**
 * Have the proxy of ProxyRemote, to which x->link is connected, connect on to the
 * backend: the bytes that follow are the backend's.
 * @param until, error, why, @return  as backend_tls_begin()
 */
backend_end_e backend_connect_proxy(backend_exchange_t *x, apr_time_t until, int *error,
                                    const char **why);

/* backend_head.c */

/** Make the head for this attempt's member.
 * @return OK, or an HTTP status: the client's or the configuration's fault */
int backend_head_make(backend_exchange_t *x);

/** Look whether modules have hooks on mod_proxy's building of a head: per child. */
void backend_http_head_child_init(void);

/** The client's fields, without those that its Connection names: of r, or a copy. */
apr_table_t *backend_head_fields(request_rec *r);

/** Remove the fields that a Connection field names (RFC 9110, 7.6.1).
 * @param tokens  its value
 * @param kept    but not this one */
void backend_head_clear(apr_pool_t *p, apr_table_t *fields, const char *tokens, const char *kept);

/* backend_http_head.c, backend_ajp_head.c */

int backend_http_head_make(backend_exchange_t *x);
int backend_ajp_head_make(backend_exchange_t *x);

/** Bytes of an AJP packet of this member, both ways, frame included. */
apr_size_t backend_ajp_packet_max(const backend_exchange_t *x);

/** Bytes of the request's body in such a packet. */
apr_size_t backend_ajp_piece_max(const backend_exchange_t *x);

/* backend_body.c */

/** Judge the request's framing, read the first bytes of its body.
 * @return OK, or an HTTP status: the client's fault, or its end */
int backend_body_begin(backend_exchange_t *x);

/** What reading the client's body gave. */
typedef enum {
    BACKEND_BODY_DATA,  /**< the next pieces are told */
    BACKEND_BODY_WAIT,  /**< nothing just now */
    BACKEND_BODY_END,   /**< all was told */
    BACKEND_BODY_FAILED /**< the client's fault: *status */
} backend_body_e;

/** Some of it, in pieces. */
typedef struct backend_pieces_t {
    struct iovec iov[BACKEND_PIECES_MAX];
    int len;
    apr_size_t sum; /**< bytes in all of them */
} backend_pieces_t;

/**
 * What comes next from x->body_at on. Does not block.
 * @param max  bytes at most, and as many where the client has sent them;
 *             APR_SIZE_MAX: what is there
 */
backend_body_e backend_body_next(backend_exchange_t *x, apr_size_t max,
                                 backend_pieces_t *pieces, int *status);

/** Read what backend_body_next() will be asked for, so that it need not be read then. Does
 * not block; a failure is told by backend_body_next(). */
void backend_body_ahead(backend_exchange_t *x, apr_size_t max);

/** What backend_body_next() told was sent. */
void backend_body_sent(backend_exchange_t *x);

/**
 * Take in the rest of the client's body, within bounds. For HTTP/2: a stream that
 * ends before its request was read is reset, and there are clients (curl 7)
 * that then forget the answer.
 */
void backend_body_discard(backend_exchange_t *x);

/** A connection is made: hold no more than a replay needs. */
void backend_body_connected(backend_exchange_t *x);

/** Whether all of it may be sent from its first byte again. */
int backend_body_is_whole(const backend_exchange_t *x);

/* backend_gulp.c */

void backend_gulp_register(void);

/** A large body follows: the client's connection is read in large pieces. */
void backend_gulp_begin(conn_rec *c);

/** As httpd does. */
void backend_gulp_end(conn_rec *c);

/* backend_send.c */

/** Do what can be done without waiting; tell in *want what is waited for. */
backend_end_e backend_send_step(backend_exchange_t *x, int *want);

/** Whether the backend has to say something before more may be sent. */
static inline int backend_send_is_awaiting(const backend_exchange_t *x)
{
    return x->sending >= BACKEND_SEND_AWAIT_PONG && x->sending <= BACKEND_SEND_AWAIT_ASK;
}

/* For the protocols: */

/** backend_body_next() for the sender: the client is asked for its body where it
 * waits to be asked. FAILED: the attempt ends with CLIENT. */
backend_body_e backend_send_body(backend_exchange_t *x, apr_size_t max, backend_pieces_t *pieces,
                                 int *want);

/** Put bytes into out[]. They must stay until they are sent. */
void backend_send_put(backend_exchange_t *x, const char *data, apr_size_t len);
void backend_send_put_pieces(backend_exchange_t *x, const backend_pieces_t *pieces);

/** All of the request is sent. */
void backend_send_done(backend_exchange_t *x);

/* backend_receive.c */

/** As backend_send_step(). */
backend_end_e backend_receive_step(backend_exchange_t *x, int *want);

/* For the protocols: */

/** The first bytes of x->in were understood. */
void backend_receive_used(backend_exchange_t *x, apr_size_t len);

/** x->answer is the head of the final answer, and the first x->answer.len bytes of
 * x->in. */
backend_end_e backend_receive_final(backend_exchange_t *x);

/* backend_answer.c */

/** So much of a body that nobody gets is read, for the link's sake. */
#define BACKEND_DROP_MAX 65536

/** Understand what x->answer tells: fill r, find how the body ends.
 * @return NONE: the body follows; else how the attempt ended */
backend_end_e backend_answer_final(backend_exchange_t *x);

/** An interim (1xx) answer. */
backend_end_e backend_answer_interim(backend_exchange_t *x);

/** What ProxyVia adds to the Via of a request or an answer; NULL: nothing. */
const char *backend_answer_via(const backend_exchange_t *x);

/** ":8080", or "" for the default port: the one that the client uses. */
const char *backend_answer_port(request_rec *r);

/** The client shall send its body now, if it waits to be asked. */
void backend_answer_ask_body(backend_exchange_t *x);

/** Trailers of n bytes at text. */
void backend_answer_trailers(backend_exchange_t *x, const char *text, apr_size_t n);

/* backend_relay.c */

/** Read and pass on what there is of the body. */
backend_end_e backend_relay_step(backend_exchange_t *x);

/** Make the client see that the answer ends too soon. */
void backend_relay_break(backend_exchange_t *x);

/* For the protocols: */

/** Bytes that are understood only with those that follow: come again before them. */
void backend_relay_carry(backend_exchange_t *x, const char *rest, apr_size_t len);

/** How an attempt ends whose body must not be passed on. */
backend_end_e backend_relay_malformed(backend_exchange_t *x, const char *why);

/** The same: there is more than Content-Length says. */
backend_end_e backend_relay_too_long(backend_exchange_t *x);

/** And whose end comes too soon. */
backend_end_e backend_relay_too_short(backend_exchange_t *x, const char *why);

/* backend_splice.c */

/** Whether what follows of the body may go from socket to socket, once all before it
 * is with the client. */
int backend_splice_fits(backend_exchange_t *x);

/** How much has to be read before more of it may go so: between two packets (AJP). 0: it
 * does not matter. */
apr_size_t backend_splice_gap(const backend_exchange_t *x);

/**
 * Let what is there go so, as long as that fits.
 * @param error   gets an errno when the link failed
 * @param rv      gets what became of it at the client, whose connection then is over
 * @return of the link
 */
backend_io_e backend_splice(backend_exchange_t *x, int *error, apr_status_t *rv);

/* backend_client.c */

void backend_client_begin(backend_exchange_t *x);

/** Whether the client has gone, before anything but the request's head is read. */
int backend_client_is_gone(backend_exchange_t *x);

/** What is read from the client goes into this one first; it is empty. */
apr_bucket_brigade *backend_client_brigade(backend_exchange_t *x);

/** How often a client is looked at that cannot be polled (HTTP/2). */
#define BACKEND_CLIENT_INTERVAL (250 * APR_TIME_C(1000))
/** The same while its body is waited for. */
#define BACKEND_BODY_INTERVAL (10 * APR_TIME_C(1000))

/** Wait a moment for more of the client's body.
 * @param until  boot clock: not longer than that
 * @return 1 when the client is gone */
int backend_client_wait(backend_exchange_t *x, apr_time_t until);

/** What to poll the client's descriptor for.
 * @param wants_body  the sender waits for more of the request's body */
short backend_client_events(const backend_exchange_t *x, int wants_body);

/** The client's descriptor has something, or it is time to look.
 * @return 1 when the client is gone */
int backend_client_check(backend_exchange_t *x, short revents);

/* backend_tunnel.c */

/** Pass the 101 on, and carry bytes both ways until both sides have ended, or one
 * broke: UPGRADED in any case, with who did it in x->state. */
backend_end_e backend_tunnel_run(backend_exchange_t *x);

/* backend_stop.c */

/** Per child. */
void backend_stop_child_init(apr_pool_t *pchild);

/** Whether this child shall end now, rather than when its requests are over. To
 * be asked at the beginning, else it is not learnt in time, and now and then:
 * nothing wakes up who waits. */
int backend_stop_is_due(void);

/* backend_pick.c */

/** The picker for a worker that mod_proxy chose.
 * @param balancer  NULL for a plain worker */
usher_picker_t *backend_pick_stock(request_rec *r, proxy_worker *worker,
                                   proxy_balancer *balancer, const char *url);

/* backend_record.c */

/** Per child. @param core  as found in check_config */
void backend_record_child_init(apr_pool_t *pchild, const usher_core_t *core);

/**
 * The record of a balancer, or of a plain worker where that is NULL.
 * @return NULL where there is none
 */
usher_cluster_rec_t *backend_record_cluster(request_rec *r, const proxy_balancer *balancer,
                                            const proxy_worker *worker);

/** The record of a balancer's member. @return NULL where there is none */
usher_member_rec_t *backend_record_member(const usher_cluster_rec_t *cluster,
                                          const proxy_worker *worker);

/* backend_note.c */

/** Remember how the attempt went: x->outcome, and when. */
void backend_note_attempt(backend_exchange_t *x, backend_end_e end);

/** The member as the log names it: its URL without a path. In r->pool. */
const char *backend_note_member(const backend_exchange_t *x);

/** Leave notes and environment: at the end, once. */
void backend_note_finish(backend_exchange_t *x);

/** usher_facts.h */
int usher_backend_facts(request_rec *r, usher_backend_facts_t *facts);

/* backend_handler.c */

/** mod_proxy's pre_request hook: declines always. */
int backend_handler_pre_request(proxy_worker **worker, proxy_balancer **balancer,
                                request_rec *r, proxy_server_conf *conf, char **url);

/** httpd's fixups hook, before mod_proxy's: declines always. */
int backend_handler_fixups(request_rec *r);

/** The URL that mod_proxy has looked for <Proxy> sections with; NULL: it has not. */
const char *backend_handler_mapped(request_rec *r);

/** The exchange of a request; NULL: none has begun. */
backend_exchange_t *backend_handler_exchange(request_rec *r);

/** mod_proxy's scheme_handler hook for our schemes, and clusters. */
int backend_handler_scheme(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                           char *url, const char *proxyhost, apr_port_t proxyport);

/** The clusters' pickers; NULL: mod_usher_balancer is not loaded. */
const usher_picker_provider_t *backend_handler_cluster(void);

/* backend_location.c */

/** A URL of an answer, as the client shall have it: ProxyPassReverse. */
const char *backend_location(backend_exchange_t *x, const char *url);

#endif /* BACKEND_PRIVATE_H */
