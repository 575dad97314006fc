/* TLS on a link, by mod_ssl: a conn_rec of the link's own whose filters are those
 * of mod_ssl, and below them a pair of ours, which move encrypted bytes between
 * mod_ssl and the link's socket. They never block but for a handshake, so httpd's
 * own network filters are never reached.
 *
 * The handshake happens within mod_ssl, which takes one that cannot go on at once
 * for a failed one: there the input filter waits, by backend_attempt_wait(), so
 * that a client that goes away or a time that is over end it. The same holds for
 * another handshake that a backend asks for in the middle (TLS 1.2).
 *
 * A link and its TLS belong to one thread at a time: of a request, or, while it is
 * idle, of who holds its target's mutex. */
#include <stdlib.h>
#include <string.h>

#include <apr_allocator.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_ssl.h>
#include <mpm_common.h>
#include <openssl/err.h>

#include "backend_tls.h"

APLOG_USE_MODULE(usher_backend);

/* Room for the longest record that TLS has (RFC 8446, 5.2), and a bit. */
#define IN_SIZE (17 * 1024)
/* So much of the request is encrypted at once. */
#define OUT_BATCH (64 * 1024)
/* An idle link keeps a buffer of this size, and no larger one. */
#define OUT_SIZE 8192
/* No more messages of TLS's own come together without a byte for us. */
#define MESSAGES_MAX 100
/* How long the backend may take for another handshake. */
#define AGAIN_MAX (5 * APR_USEC_PER_SEC)

static ap_filter_rec_t *filter_in;
static ap_filter_rec_t *filter_out;
/* The parent of the links' pools, per child. Its allocator, which they share, has a
 * mutex: links are made and freed by any thread. */
static apr_pool_t *tls_pool;

void backend_tls_child_init(apr_pool_t *pchild)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;

    if (apr_allocator_create(&allocator) != APR_SUCCESS
        || apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pchild) != APR_SUCCESS
        || apr_pool_create_ex(&tls_pool, pchild, NULL, allocator) != APR_SUCCESS) {
        ap_abort_on_oom();
    }
    apr_allocator_mutex_set(allocator, mutex);
    apr_allocator_max_free_set(allocator, ap_max_mem_free);
    apr_allocator_owner_set(allocator, tls_pool);
    apr_pool_tag(tls_pool, "usher_backend_tls");
}

/* Below mod_ssl */

static void tls_out_append(backend_tls_t *tls, const char *data, apr_size_t len)
{
    apr_size_t need = tls->out_len + len;

    if (need > tls->out_size) {
        tls->out_size = need < OUT_SIZE ? OUT_SIZE : need + need / 2;
        tls->out = realloc(tls->out, tls->out_size);
        if (!tls->out) {
            ap_abort_on_oom();
        }
    }
    memcpy(tls->out + tls->out_len, data, len);
    tls->out_len += len;
}

/* What waits in out goes, as far as the socket takes it. */
static void tls_push(backend_tls_t *tls)
{
    ssize_t n;

    while (tls->out_at < tls->out_len && !tls->error) {
        n = send(tls->link->fd, tls->out + tls->out_at, tls->out_len - tls->out_at,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            tls->out_at += (apr_size_t)n;
        }
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        else if (errno != EINTR) {
            tls->error = errno;
        }
    }
    if (tls->out_at == tls->out_len) {
        tls->out_at = tls->out_len = 0;
    }
}

/* An error of the socket is not mod_ssl's: what the backend has said before it is
 * still to be read. */
static apr_status_t tls_filter_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    backend_tls_t *tls = f->ctx;
    apr_status_t rv = APR_SUCCESS;
    apr_bucket *e;
    int flush = 0;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb) && rv == APR_SUCCESS;
         e = APR_BUCKET_NEXT(e)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_METADATA(e)) {
            flush = flush || APR_BUCKET_IS_FLUSH(e);
            continue;
        }
        rv = apr_bucket_read(e, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            tls_out_append(tls, data, len);
        }
    }
    apr_brigade_cleanup(bb);
    if (flush) {
        tls_push(tls);
    }
    return rv;
}

/* Within a handshake: until the socket has something, or why there is no waiting. */
static apr_status_t tls_wait(backend_tls_t *tls)
{
    int late, want = BACKEND_WANT_LINK_IN;

    if (!tls->x) {
        return APR_ECONNABORTED; /* idle, or being closed */
    }
    tls_push(tls);
    if (tls->out_at < tls->out_len) {
        want |= BACKEND_WANT_LINK_OUT;
    }
    tls->end = backend_attempt_wait(tls->x, want, tls->until, &late);
    if (tls->end != BACKEND_END_NONE) {
        return APR_ECONNABORTED;
    }
    tls->late = late != 0;
    return late ? APR_TIMEUP : APR_SUCCESS;
}

static apr_status_t tls_filter_in(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                  apr_read_type_e block, apr_off_t readbytes)
{
    backend_tls_t *tls = f->ctx;
    apr_status_t rv;
    ssize_t n;

    /* mod_ssl knows blocking only, where a handshake goes on. */
    block = tls->watch.again ? APR_BLOCK_READ : block;
    tls->starved = block == APR_NONBLOCK_READ;
    if (tls->drained && block == APR_NONBLOCK_READ) {
        return APR_EAGAIN;
    }
    for (;;) {
        n = recv(tls->link->fd, tls->in, IN_SIZE, MSG_DONTWAIT);
        if (n > 0) {
            tls->starved = 0;
            break;
        }
        if (n == 0) {
            tls->eof = 1;
            return APR_EOF;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            rv = block == APR_NONBLOCK_READ ? APR_EAGAIN : tls_wait(tls);
            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        else if (errno != EINTR) {
            tls->error = errno;
            return APR_FROM_OS_ERROR(errno);
        }
    }
    tls->drained = n < IN_SIZE;
    if (!tls->heard) {
        tls->heard = 1;
        tls->foreign = tls->in[0] != SSL3_RT_HANDSHAKE && tls->in[0] != SSL3_RT_ALERT;
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(tls->in, (apr_size_t)n,
                                                            f->c->bucket_alloc));
    return APR_SUCCESS;
}

void backend_tls_register(void)
{
    /* Above httpd's own network filters, and those beside them that count bytes
     * (mod_logio). */
    filter_in = ap_register_input_filter("USHER_BACKEND_TLS_IN", tls_filter_in, NULL,
                                         AP_FTYPE_NETWORK - 1);
    filter_out = ap_register_output_filter("USHER_BACKEND_TLS_OUT", tls_filter_out, NULL,
                                           AP_FTYPE_NETWORK - 1);
    backend_tls_watch_register();
}

/* Making and freeing */

/* An APR socket for the link's descriptor, for those who look at a connection's
 * addresses. It closes the descriptor with the pool. */
static apr_socket_t *tls_socket(backend_tls_t *tls)
{
    backend_link_t *link = tls->link;
    struct sockaddr *remote = link->address.len ? (struct sockaddr *)&link->address.addr : NULL;
    apr_os_sock_info_t info = {
        .os_sock = &link->fd, .remote = remote,
        .family = remote ? remote->sa_family : AF_UNIX, .type = SOCK_STREAM,
    };
    apr_socket_t *sock = NULL;

    return apr_os_sock_make(&sock, &info, tls->pool) == APR_SUCCESS ? sock : NULL;
}

/* The name that the backend is asked for, and that its certificate must have. */
static const char *tls_name(const backend_exchange_t *x)
{
    return x->dconf->preserve_host && x->r->hostname ? x->r->hostname : x->uri.hostname;
}

const char *backend_tls_id(const backend_exchange_t *x)
{
    /* What a client has a say in comes last. */
    return apr_psprintf(x->r->pool, "%pp %" APR_UINT64_T_HEX_FMT " %s", (void *)x->r->server,
                        backend_section_key(x->r, x->sconf), tls_name(x));
}

static backend_tls_t *tls_new(backend_exchange_t *x)
{
    backend_tls_t *tls;
    apr_pool_t *pool;

    apr_pool_create(&pool, tls_pool);
    apr_pool_tag(pool, "usher_backend_tls_link");
    tls = apr_pcalloc(pool, sizeof(*tls));
    tls->pool = pool;
    tls->link = x->link;
    tls->x = x;
    tls->name = apr_pstrdup(pool, tls_name(x));
    tls->id = apr_pstrdup(pool, backend_tls_id(x));
    tls->in = apr_palloc(pool, IN_SIZE);
    x->link->tls = tls;
    return tls;
}

/* As mod_proxy makes its connections: conn_rec, mod_ssl's filters, and ours.
 * Returns 0 where mod_ssl does not want to (SSLProxyEngine). */
static int tls_connection(backend_tls_t *tls, request_rec *r, int *made)
{
    apr_socket_t *sock = tls_socket(tls);
    apr_bucket_alloc_t *alloc = apr_bucket_alloc_create(tls->pool);
    conn_rec *c = sock ? ap_run_create_connection(tls->pool, r->server, sock, 0, NULL, alloc)
                       : NULL;
    int rc;

    *made = 0;
    if (!c) {
        return 1;
    }
    tls->c = c;
    tls->in_bb = apr_brigade_create(tls->pool, alloc);
    tls->out_bb = apr_brigade_create(tls->pool, alloc);
    ap_set_module_config(c->conn_config, &usher_backend_module, tls);
    if (!ap_proxy_ssl_engine(c, r->per_dir_config, 1)) {
        return 0;
    }
    apr_table_setn(c->notes, "proxy-request-hostname", tls->name);
    rc = ap_run_pre_connection(c, sock);
    ap_add_input_filter_handle(filter_in, tls, NULL, c);
    ap_add_output_filter_handle(filter_out, tls, NULL, c);
    *made = (rc == OK || rc == DONE) && !c->aborted;
    return 1;
}

void backend_tls_free(backend_link_t *link)
{
    backend_tls_t *tls = link->tls;

    link->tls = NULL;
    free(tls->out);
    backend_tls_watch_done(&tls->watch);
    apr_pool_destroy(tls->pool); /* closes the socket */
    link->fd = -1;
}

/* The handshake */

/* What the log tells of a place where TLS to backends is not configured. */
static backend_end_e tls_is_off(backend_exchange_t *x, const char *why)
{
    x->why = why;
    x->outcome = USHER_OUTCOME_LIMIT; /* the member's fault it is not */
    x->state.who = 'P';
    return BACKEND_END_NO_LINK;
}

backend_end_e backend_tls_is_loaded(backend_exchange_t *x)
{
    if (ap_ssl_has_outgoing_handlers()) {
        return BACKEND_END_NONE;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, USHERLOGNO(2031)
                  "%s: no module is loaded for TLS to backends: add \"LoadModule ssl_module "
                  "modules/mod_ssl.so\" and SSLProxyEngine On", backend_note_member(x));
    return tls_is_off(x, "mod_ssl is not loaded");
}

int backend_tls_is_for(const backend_tls_t *tls, const char *id)
{
    return tls && !ap_cstr_casecmp(tls->id, id);
}

static backend_end_e tls_handshake(backend_exchange_t *x, apr_time_t until, int *error,
                                   const char **why)
{
    backend_tls_t *tls = tls_new(x);
    int made;

    if (!tls_connection(tls, x->r, &made)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, USHERLOGNO(2032)
                      "%s: TLS to backends is not switched on for this place: add "
                      "\"SSLProxyEngine On\" to its virtual host, or to the <Proxy> section of "
                      "this backend", backend_note_member(x));
        return tls_is_off(x, "TLS to backends is not switched on here (SSLProxyEngine)");
    }
    tls->until = until;
    if (made && ap_get_brigade(tls->c->input_filters, tls->in_bb, AP_MODE_INIT, APR_BLOCK_READ,
                               0) == APR_SUCCESS && !tls->c->aborted) {
        tls->up = 1;
        backend_tls_watch_done(&tls->watch);
        return BACKEND_END_NONE;
    }
    if (tls->end != BACKEND_END_NONE) {
        return tls->end;
    }
    *error = tls->late ? ETIMEDOUT : EPROTO;
    x->name_refused = x->dconf->preserve_host && backend_tls_watch_is_name(tls)
                      && ap_cstr_casecmp(tls->name, x->uri.hostname) != 0;
    *why = backend_tls_watch_why(tls, x->r->pool);
    return BACKEND_END_NONE;
}

backend_end_e backend_tls_begin(backend_exchange_t *x, apr_time_t until, int *error,
                                const char **why)
{
    backend_end_e end;

    *error = 0;
    end = tls_handshake(x, until, error, why);
    if (end != BACKEND_END_NONE || *error) {
        backend_tls_free(x->link); /* closed, not reset: our alert shall arrive */
    }
    return end;
}

/* Bytes */

/* Give some of the sender's bytes to mod_ssl. Returns how many it took; 0: it
 * cannot go on. */
static apr_size_t tls_encrypt(backend_tls_t *tls, const struct iovec *iov, int iov_len)
{
    apr_size_t all = 0, n;
    apr_status_t rv;
    int i;

    tls->until = backend_now() + AGAIN_MAX;
    for (i = 0; i < iov_len && all < OUT_BATCH; ++i) {
        n = iov[i].iov_len < OUT_BATCH - all ? iov[i].iov_len : OUT_BATCH - all;
        if (n) {
            APR_BRIGADE_INSERT_TAIL(tls->out_bb,
                apr_bucket_transient_create(iov[i].iov_base, n, tls->c->bucket_alloc));
        }
        all += n;
    }
    /* What mod_ssl gathers comes out, in one go: our filter sends at a flush. */
    APR_BRIGADE_INSERT_TAIL(tls->out_bb, apr_bucket_flush_create(tls->c->bucket_alloc));
    rv = ap_pass_brigade(tls->c->output_filters, tls->out_bb);
    apr_brigade_cleanup(tls->out_bb);
    return rv == APR_SUCCESS ? all : 0;
}

/* What mod_ssl took counts as sent once the socket has it, so that who sends waits for
 * the socket as with plain connections, and sees when all is sent. Encrypted bytes are
 * more than plain ones: of what was taken no more than waits in out has not gone. And
 * where anything has gone at least one has: what may be sent again hangs on that. */
static apr_size_t tls_sent(backend_tls_t *tls)
{
    apr_size_t waiting = tls->out_len - tls->out_at;
    apr_size_t sent = tls->taken > waiting ? tls->taken - waiting
                      : tls->out_at && tls->taken > 1 && !tls->told ? 1 : 0;

    tls->told = tls->told || sent;
    tls->taken -= sent;
    return sent;
}

backend_io_e backend_tls_send(backend_tls_t *tls, const struct iovec *iov, int iov_len,
                              apr_size_t *sent, int *error)
{
    *sent = 0;
    tls_push(tls);
    if (!tls->error && !tls->taken && !tls->out_len) {
        tls->told = 0;
        tls->taken = tls_encrypt(tls, iov, iov_len);
        if (!tls->taken) {
            *error = EPROTO;
            return BACKEND_IO_FAILED;
        }
    }
    *sent = tls_sent(tls);
    if (*sent) {
        return BACKEND_IO_DONE;
    }
    *error = tls->error;
    return tls->error ? BACKEND_IO_FAILED : BACKEND_IO_AGAIN;
}

/* Ask mod_ssl for bytes. After a message of TLS's own it says that there are none, when
 * only it has not looked at the rest. */
static apr_status_t tls_read(backend_tls_t *tls, ap_input_mode_t mode, apr_size_t size)
{
    apr_status_t rv;
    int rounds = 0;

    do {
        if (++rounds > MESSAGES_MAX) {
            return APR_EGENERAL;
        }
        tls->starved = 0;
        rv = ap_get_brigade(tls->c->input_filters, tls->in_bb, mode, APR_NONBLOCK_READ,
                            (apr_off_t)size);
    } while (APR_STATUS_IS_EAGAIN(rv) && !tls->starved);
    return rv == APR_SUCCESS && APR_BRIGADE_EMPTY(tls->in_bb) ? APR_EAGAIN : rv;
}

/* How reading has ended: in good order only with a close_notify. */
static backend_io_e tls_recv_ended(const backend_tls_t *tls, int *error)
{
    if (APR_STATUS_IS_EOF(tls->ended) && (tls->watch.close_notify || !tls->watch.on)) {
        return BACKEND_IO_EOF;
    }
    *error = tls->error ? tls->error : tls->eof ? ECONNRESET : EPROTO;
    return BACKEND_IO_FAILED;
}

/* mod_ssl gives out 8 KiB at most: as many pieces as there are, and room for. */
backend_io_e backend_tls_recv(backend_tls_t *tls, char *buf, apr_size_t size, apr_size_t *len,
                              int *error)
{
    apr_status_t rv = tls->ended;

    *len = 0;
    tls->drained = tls->dry = 0;
    tls_push(tls);
    tls->until = backend_now() + AGAIN_MAX;
    while (rv == APR_SUCCESS && *len < size) {
        apr_size_t n = size - *len;

        rv = tls_read(tls, AP_MODE_READBYTES, n);
        apr_brigade_flatten(tls->in_bb, buf + *len, &n);
        apr_brigade_cleanup(tls->in_bb);
        *len += n;
    }
    if (APR_STATUS_IS_EAGAIN(rv)) {
        tls->dry = 1;
    }
    else {
        tls->ended = rv;
    }
    return *len ? BACKEND_IO_DONE : tls->ended ? tls_recv_ended(tls, error) : BACKEND_IO_AGAIN;
}

int backend_tls_has_more(const backend_tls_t *tls)
{
    return !tls->dry;
}

/* Between two requests */

int backend_tls_is_quiet(backend_tls_t *tls)
{
    apr_status_t rv;
    int quiet;

    if (!tls->up || tls->ended || tls->error) {
        return 0;
    }
    tls->drained = 0;
    rv = tls_read(tls, AP_MODE_SPECULATIVE, 1);
    quiet = APR_STATUS_IS_EAGAIN(rv);
    apr_brigade_cleanup(tls->in_bb);
    tls_push(tls); /* an answer to a key update */
    return quiet && tls->out_at == tls->out_len;
}

void backend_tls_rest(backend_tls_t *tls)
{
    tls->x = NULL;
    /* mod_ssl holds on to the settings of the request's place, which go with it. */
    ap_proxy_ssl_engine(tls->c, tls->c->base_server->lookup_defaults, 1);
    if (tls->out_size > OUT_SIZE) {
        free(tls->out);
        tls->out = NULL;
        tls->out_size = 0;
    }
}

void backend_tls_resume(backend_tls_t *tls, backend_exchange_t *x)
{
    tls->x = x;
    ap_proxy_ssl_engine(tls->c, x->r->per_dir_config, 1);
}

/* With mod_ssl's own way to say it nothing could be read any more. */
backend_io_e backend_tls_shutdown(backend_tls_t *tls, int *error)
{
    if (!tls->shut && tls->ssl && tls->up && !tls->c->aborted) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
        tls->shut = 1;
    }
    tls_push(tls);
    if (!tls->error && tls->out_at < tls->out_len) {
        return BACKEND_IO_AGAIN;
    }
    if (tls->error || shutdown(tls->link->fd, SHUT_WR) != 0) {
        *error = tls->error ? tls->error : errno;
        return BACKEND_IO_FAILED;
    }
    return BACKEND_IO_DONE;
}

void backend_tls_farewell(backend_tls_t *tls)
{
    tls->x = NULL;
    if (!tls->up || tls->shut || tls->error || tls->c->aborted || tls->out_at < tls->out_len) {
        return;
    }
    APR_BRIGADE_INSERT_TAIL(tls->out_bb, ap_bucket_eoc_create(tls->c->bucket_alloc));
    ap_pass_brigade(tls->c->output_filters, tls->out_bb);
    apr_brigade_cleanup(tls->out_bb);
    tls_push(tls);
}
