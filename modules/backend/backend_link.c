/* A connection to a backend: TCP or a unix socket, never blocking, with TLS
 * on it where its target wants that (backend_tls.c). Idle ones
 * hang on their target; the last one used is the first to be used again, so
 * that the others grow old and are closed. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

static void link_close_fd(backend_link_t *link)
{
    if (link->tls) {
        backend_tls_free(link); /* closes it as well */
    }
    else if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
}

/* In good order. */
static void link_shut(backend_link_t *link)
{
    if (link->tls) {
        backend_tls_farewell(link->tls);
    }
    link_close_fd(link);
}

/* The target is told that a link is gone. */
static void link_free(backend_link_t *link)
{
    backend_target_t *target = link->target;

    link_shut(link);
    free(link);
    if (!target->transient) {
        apr_thread_mutex_lock(target->mutex);
        target->links_len--;
        apr_thread_cond_signal(target->freed);
        apr_thread_mutex_unlock(target->mutex);
    }
}

void backend_link_close(backend_link_t *link)
{
    link_free(link);
}

void backend_link_abort(backend_link_t *link)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    if (link->fd >= 0) {
        setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        link_close_fd(link); /* no farewell of TLS */
    }
    link_free(link);
}

/* Nothing may have come while it was idle: an end, or bytes that belong to no
 * request of ours. TLS has messages of its own, which are taken in here. */
static int link_is_quiet(const backend_link_t *link)
{
    char byte;

    if (link->tls) {
        return backend_tls_is_quiet(link->tls);
    }
    return recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0
           && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int link_is_due(const backend_link_t *link, apr_time_t now)
{
    return link->leave_at && now >= link->leave_at;
}

/* Under the target's mutex; idle: how many are there beside this one. */
static int link_is_old(const backend_link_t *link, apr_time_t now, int idle)
{
    const backend_target_t *target = link->target;

    return target->ttl > 0 && now - link->idle_since >= target->ttl && idle >= target->idle_min;
}

/* Under the target's mutex: one with such TLS; NULL: any one. */
static backend_link_t *link_pop(backend_target_t *target, const char *id)
{
    backend_link_t **at = &target->idle, *link;

    while (*at && !backend_link_is_for(*at, id)) {
        at = &(*at)->next;
    }
    link = *at;
    if (link) {
        *at = link->next;
        target->idle_len--;
        link->next = NULL;
    }
    return link;
}

backend_link_t *backend_link_reuse(backend_target_t *target, const char *id,
                                   apr_interval_time_t idle_max)
{
    backend_link_t *link;
    apr_time_t now;
    int old;

    if (target->transient) {
        return NULL;
    }
    now = backend_now();
    for (;;) {
        apr_thread_mutex_lock(target->mutex);
        link = link_pop(target, id);
        old = link && link_is_old(link, now, target->idle_len);
        apr_thread_mutex_unlock(target->mutex);
        if (!link) {
            return NULL;
        }
        if (now - link->idle_since > idle_max) {
            link_free(link); /* a fresh one takes its place; the others are older */
            return NULL;
        }
        if (!old && !link_is_due(link, now) && link_is_quiet(link)) {
            return link;
        }
        link_free(link);
    }
}

/* Under the target's mutex: whether there is room for one more. An idle link is
 * taken for it where the limit is reached, best one with such TLS. */
static backend_link_t *link_make_room(backend_target_t *target, const char *id, int *room)
{
    backend_link_t *link;

    *room = target->links_max <= 0 || target->links_len < target->links_max;
    if (*room) {
        return NULL;
    }
    *room = target->idle != NULL;
    link = id ? link_pop(target, id) : NULL;
    return link ? link : link_pop(target, NULL);
}

backend_link_t *backend_link_new(backend_target_t *target, const char *id,
                                 apr_interval_time_t wait_max, int may_be_kept)
{
    backend_link_t *link = NULL;
    apr_time_t until = 0;
    int room = 1;

    if (!target->transient) {
        apr_thread_mutex_lock(target->mutex);
        link = link_make_room(target, id, &room);
        while (!room && wait_max > 0) {
            apr_time_t now = backend_now();

            until = until ? until : now + wait_max;
            if (now >= until) {
                break;
            }
            apr_thread_cond_timedwait(target->freed, target->mutex, until - now);
            link = link_make_room(target, id, &room);
        }
        target->links_len += room && !link;
        apr_thread_mutex_unlock(target->mutex);
    }
    if (!room) {
        return NULL;
    }
    if (link && may_be_kept && backend_link_is_for(link, id)
        && !link_is_due(link, backend_now()) && link_is_quiet(link)) {
        return link;
    }
    if (link) {
        link_shut(link);
        memset(link, 0, sizeof(*link));
    }
    else {
        link = calloc(1, sizeof(*link));
        if (!link) {
            ap_abort_on_oom();
        }
    }
    link->fd = -1;
    link->target = target;
    return link;
}

/* What may fail here does no harm. */
static void link_options(backend_link_t *link, request_rec *r, int family,
                         proxy_worker *worker)
{
    proxy_server_conf *conf = ap_get_module_config(r->server->module_config, &proxy_module);
    int on = 1, size;

    if (worker->s->recv_buffer_size > 0) {
        size = (int)worker->s->recv_buffer_size;
        setsockopt(link->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (family == AF_UNIX) {
        return;
    }
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (worker->s->keepalive) {
        setsockopt(link->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    if (conf->source_address_set && conf->source_address->family == family
        && bind(link->fd, (struct sockaddr *)&conf->source_address->sa,
                conf->source_address->salen) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, errno, r, USHERLOGNO(2003)
                      "ProxySourceAddress: this address cannot be used to connect to %s",
                      link->target->name);
    }
}

static socklen_t link_unix_address(struct sockaddr_un *sun, const char *path)
{
    apr_size_t len = strlen(path);

    memset(sun, 0, sizeof(*sun));
    sun->sun_family = AF_UNIX;
    if (len >= sizeof(sun->sun_path)) {
        return 0;
    }
    memcpy(sun->sun_path, path, len + 1);
    return sizeof(*sun);
}

backend_io_e backend_link_connect(backend_link_t *link, request_rec *r,
                                  const backend_address_t *address,
                                  proxy_worker *worker, int *error)
{
    struct sockaddr_un sun;
    const struct sockaddr *to;
    socklen_t len;

    link_close_fd(link);
    if (link->target->uds_path) {
        to = (const struct sockaddr *)&sun;
        len = link_unix_address(&sun, link->target->uds_path);
        if (!len) {
            *error = ENAMETOOLONG;
            return BACKEND_IO_FAILED;
        }
    }
    else {
        link->address = *address;
        to = (const struct sockaddr *)&address->addr;
        len = address->len;
    }
    link->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        *error = errno;
        return BACKEND_IO_FAILED;
    }
    link_options(link, r, to->sa_family, worker);
    if (connect(link->fd, to, len) == 0) {
        return backend_link_connected(link, error);
    }
    *error = errno;
    /* EAGAIN: a unix socket whose queue is full; the connect does not go on. */
    return *error == EINPROGRESS || *error == EINTR ? BACKEND_IO_AGAIN : BACKEND_IO_FAILED;
}

/* The port that httpd has on its side, for the note proxy-source-port. */
static apr_port_t link_local_port(const backend_link_t *link)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } local = { .any.sa_family = AF_UNSPEC };
    socklen_t len = sizeof(local);

    if (!link->address.len || getsockname(link->fd, &local.any, &len) != 0) {
        return 0;
    }
    return ntohs(local.any.sa_family == AF_INET6 ? local.in6.sin6_port : local.in.sin_port);
}

/* From now on a call on the socket waits unless it says otherwise, as all but
 * backend_link_await() do. mod_ssl's reads never may. */
static void link_may_wait(backend_link_t *link)
{
    static const struct timeval most = { .tv_usec = BACKEND_AWAIT };
    int flags = fcntl(link->fd, F_GETFL);

    link->waits = !link->target->tls && flags >= 0
                  && setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) == 0
                  && fcntl(link->fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

backend_io_e backend_link_connected(backend_link_t *link, int *error)
{
    socklen_t len = sizeof(*error);

    *error = 0;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, error, &len) != 0) {
        *error = errno;
    }
    if (*error) {
        return BACKEND_IO_FAILED;
    }
    link->local_port = link_local_port(link);
    link_may_wait(link);
    return BACKEND_IO_DONE;
}

backend_io_e backend_link_send(backend_link_t *link, const struct iovec *iov,
                               int iov_len, apr_size_t *sent, int *error)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = iov_len };
    ssize_t n;

    if (link->tls) {
        return backend_tls_send(link->tls, iov, iov_len, sent, error);
    }
    do {
        n = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    *sent = n > 0 ? (apr_size_t)n : 0;
    if (n >= 0) {
        return BACKEND_IO_DONE;
    }
    *error = errno;
    return errno == EAGAIN || errno == EWOULDBLOCK ? BACKEND_IO_AGAIN : BACKEND_IO_FAILED;
}

static backend_io_e link_received(ssize_t n, apr_size_t *len, int *error)
{
    *len = n > 0 ? (apr_size_t)n : 0;
    if (n > 0) {
        return BACKEND_IO_DONE;
    }
    if (n == 0) {
        return BACKEND_IO_EOF;
    }
    *error = errno;
    return errno == EAGAIN || errno == EWOULDBLOCK ? BACKEND_IO_AGAIN : BACKEND_IO_FAILED;
}

static backend_io_e link_recv(backend_link_t *link, char *buf, apr_size_t size,
                              apr_size_t *len, int *error, int flags)
{
    ssize_t n;

    do {
        n = recv(link->fd, buf, size, flags);
    } while (n < 0 && errno == EINTR);
    return link_received(n, len, error);
}

/* For splice(), which cannot be told for one call. */
static void link_never_waits(backend_link_t *link)
{
    int flags = fcntl(link->fd, F_GETFL);

    if (flags >= 0 && fcntl(link->fd, F_SETFL, flags | O_NONBLOCK) == 0) {
        link->waits = 0;
    }
}

backend_io_e backend_link_splice(backend_link_t *link, int pipe, apr_size_t size,
                                 apr_size_t *len, int *error)
{
    ssize_t n;

    if (link->waits) {
        link_never_waits(link);
    }
    do {
        n = splice(link->fd, NULL, pipe, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (n < 0 && errno == EINTR);
    return link_received(n, len, error);
}

backend_io_e backend_link_recv(backend_link_t *link, char *buf, apr_size_t size,
                               apr_size_t *len, int *error)
{
    return link->tls ? backend_tls_recv(link->tls, buf, size, len, error)
                     : link_recv(link, buf, size, len, error, MSG_DONTWAIT);
}

backend_io_e backend_link_await(backend_link_t *link, char *buf, apr_size_t size,
                                apr_size_t *len, int *error)
{
    return link->waits ? link_recv(link, buf, size, len, error, 0)
                       : backend_link_recv(link, buf, size, len, error);
}

backend_io_e backend_link_shutdown(backend_link_t *link, int *error)
{
    if (link->tls) {
        return backend_tls_shutdown(link->tls, error);
    }
    if (shutdown(link->fd, SHUT_WR) != 0) {
        *error = errno;
        return BACKEND_IO_FAILED;
    }
    return BACKEND_IO_DONE;
}

/* Under the target's mutex: which one goes when this one comes; NULL: none need. With TLS
 * links are not all alike: the oldest one goes, so that names which are asked for once
 * do not fill the list for good. */
static backend_link_t *link_crowded_out(backend_target_t *target, backend_link_t *link)
{
    backend_link_t **at = &target->idle, *oldest;

    if (target->idle_len < target->idle_max) {
        return NULL;
    }
    if (!link->tls || !target->idle) {
        return link;
    }
    while ((*at)->next) {
        at = &(*at)->next;
    }
    oldest = *at;
    *at = NULL;
    target->idle_len--;
    return oldest;
}

void backend_link_release(backend_link_t *link)
{
    backend_target_t *target = link->target;
    backend_link_t *out;

    if (target->transient) {
        link_free(link);
        return;
    }
    if (link->tls) {
        backend_tls_rest(link->tls);
    }
    link->idle_since = backend_now();
    apr_thread_mutex_lock(target->mutex);
    out = link_crowded_out(target, link);
    if (out != link) {
        link->next = target->idle;
        target->idle = link;
        target->idle_len++;
        apr_thread_cond_signal(target->freed);
    }
    apr_thread_mutex_unlock(target->mutex);
    if (out) {
        link_free(out);
    }
}

void backend_link_sweep(backend_target_t *target)
{
    backend_link_t *bad = NULL, *link, **at;
    apr_time_t now = backend_now();

    apr_thread_mutex_lock(target->mutex);
    for (at = &target->idle; (link = *at) != NULL;) {
        if (atomic_load(&target->gone) || link_is_old(link, now, target->idle_len - 1)
            || link_is_due(link, now) || !link_is_quiet(link)) {
            *at = link->next;
            target->idle_len--;
            link->next = bad;
            bad = link;
        }
        else {
            at = &link->next;
        }
    }
    apr_thread_mutex_unlock(target->mutex);
    while ((link = bad) != NULL) {
        bad = link->next;
        link_free(link);
    }
}
