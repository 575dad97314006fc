/* One check, step by step. No step waits: what is to be waited for is told to the
 * checker's poll() as descriptor and events. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include "balancer_probe_private.h"

probe_go_e probe_run_end(probe_t *probe, usher_check_result_e what, int detail, const char *why)
{
    probe->result = USHER_CHECK_RESULT(what, detail);
    probe->why = why;
    return PROBE_ENDED;
}

/* What failed on this side says nothing of the member. */
static probe_go_e run_no_socket(probe_t *probe, int error)
{
    return probe_run_end(probe, USHER_CHECK_OURS, error, NULL);
}

static int run_unix_address(probe_t *probe, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&probe->addresses[0].sockaddr;

    if (strlen(path) >= sizeof(address->sun_path)) {
        return 0;
    }
    address->sun_family = AF_UNIX;
    apr_cpystrn(address->sun_path, path, sizeof(address->sun_path));
    probe->addresses[0].len = sizeof(*address);
    probe->addresses_len = 1;
    return 1;
}

static probe_go_e run_lookup(probe_t *probe)
{
    const proxy_worker *worker = probe->member->worker;

    if (*worker->s->uds_path) {
        probe->step = PROBE_CONNECT;
        return run_unix_address(probe, worker->s->uds_path)
                   ? PROBE_NEXT : probe_run_end(probe, USHER_CHECK_REFUSED, ENAMETOOLONG, NULL);
    }
    switch (probe_names_find(worker->s->hostname_ex, worker->s->port, probe->addresses,
                             &probe->addresses_len)) {
    case PROBE_NAME_FOUND:
        probe->step = PROBE_CONNECT;
        return PROBE_NEXT;
    case PROBE_NAME_NONE:
        return probe_run_end(probe, USHER_CHECK_NO_NAME, 0, NULL);
    default:
        return PROBE_WAIT;
    }
}

static void run_disconnect(probe_t *probe)
{
    if (probe->ssl) {
        probe_tls_close(probe);
    }
    if (probe->fd >= 0) {
        close(probe->fd);
        probe->fd = -1;
    }
}

static probe_go_e run_connected(probe_t *probe)
{
    probe->step_expires_at = probe->expires_at;
    switch (probe->params.kind) {
    case USHER_CHECK_TCP:
        return probe_run_end(probe, USHER_CHECK_PASSED, 0, NULL);
    case USHER_CHECK_HTTPS:
        if (!probe_tls_begin(probe)) {
            return run_no_socket(probe, ENOMEM);
        }
        probe->step = PROBE_HANDSHAKE;
        return PROBE_NEXT;
    default:
        probe->step = PROBE_SEND;
        return PROBE_NEXT;
    }
}

/* Each address has its share of the time that is left. */
static void run_next_address(probe_t *probe)
{
    apr_int64_t now = balancer_now();
    int left = probe->addresses_len - probe->addresses_tried++;

    probe->step_expires_at = now + (probe->expires_at - now) / left;
}

static probe_go_e run_connect(probe_t *probe)
{
    const probe_address_t *address = &probe->addresses[probe->addresses_tried];
    int on = 1;

    run_disconnect(probe);
    if (probe->addresses_tried >= probe->addresses_len) {
        if (probe->addresses_ours == probe->addresses_len) {
            return run_no_socket(probe, EADDRNOTAVAIL);
        }
        return probe->error ? probe_run_end(probe, USHER_CHECK_REFUSED, probe->error, NULL)
                            : probe_run_end(probe, USHER_CHECK_UNREACHABLE, 0, NULL);
    }
    probe->fd = socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe->fd < 0) {
        return run_no_socket(probe, errno);
    }
    run_next_address(probe);
    if (address->sockaddr.ss_family != AF_UNIX) {
        setsockopt(probe->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (!connect(probe->fd, (const struct sockaddr *)&address->sockaddr, address->len)) {
        return run_connected(probe);
    }
    if (errno == EINPROGRESS) {
        probe->step = PROBE_CONNECTING;
        probe->events = POLLOUT;
        return PROBE_WAIT;
    }
    if (errno == EADDRNOTAVAIL) { /* no port is free here, or there is no IPv6 */
        ++probe->addresses_ours;
        return PROBE_NEXT;
    }
    probe->error = errno;
    return PROBE_NEXT;
}

static probe_go_e run_connecting(probe_t *probe)
{
    socklen_t len = sizeof(probe->error);

    if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &probe->error, &len)) {
        probe->error = errno;
    }
    if (probe->error) {
        probe->step = PROBE_CONNECT;
        return PROBE_NEXT;
    }
    return run_connected(probe);
}

/* A call on the connection has not gone well. */
static probe_go_e run_not_now(probe_t *probe)
{
    if (errno == EAGAIN || errno == EINTR) {
        return PROBE_WAIT;
    }
    return probe_run_end(probe, USHER_CHECK_CLOSED, errno, NULL);
}

static probe_go_e run_send(probe_t *probe)
{
    const char *bytes;
    apr_ssize_t n;

    if (!probe->buf) {
        probe->buf = malloc(PROBE_BUF_SIZE);
        if (!probe->buf || !probe_answer_ask(probe)) {
            return run_no_socket(probe, ENOMEM);
        }
    }
    bytes = probe->buf + probe->done;
    probe->events = POLLOUT;
    n = probe->ssl ? probe_tls_send(probe, bytes, probe->len - probe->done)
                   : send(probe->fd, bytes, probe->len - probe->done, MSG_NOSIGNAL);
    if (n < 0) {
        return run_not_now(probe);
    }
    probe->done += (apr_size_t)n;
    if (probe->done == probe->len) {
        probe->step = PROBE_RECEIVE;
        probe->len = 0;
    }
    return PROBE_NEXT;
}

static probe_go_e run_receive(probe_t *probe)
{
    char *at = probe->buf + probe->len;
    apr_size_t room = PROBE_BUF_SIZE - probe->len;
    probe_go_e go;
    apr_ssize_t n;

    probe->events = POLLIN;
    n = probe->ssl ? probe_tls_recv(probe, at, room) : recv(probe->fd, at, room, 0);
    if (n < 0) {
        return run_not_now(probe);
    }
    if (n == 0) {
        return probe_run_end(probe, USHER_CHECK_CLOSED, 0, NULL);
    }
    probe->len += (apr_size_t)n;
    probe->received += (apr_size_t)n;
    go = probe_answer_look(probe);
    if (go == PROBE_WAIT && probe->received > PROBE_RECEIVE_MAX) {
        return probe_run_end(probe, USHER_CHECK_MALFORMED, 0, "interim answers without end");
    }
    return go == PROBE_WAIT ? PROBE_NEXT : go;
}

void probe_run_begin(probe_t *probe)
{
    probe->step = PROBE_LOOKUP;
    probe->step_expires_at = probe->expires_at;
    probe->fd = -1;
}

int probe_run_go(probe_t *probe)
{
    static probe_go_e (*const steps[])(probe_t *) = {
        [PROBE_LOOKUP] = run_lookup, [PROBE_CONNECT] = run_connect,
        [PROBE_CONNECTING] = run_connecting, [PROBE_HANDSHAKE] = probe_tls_handshake,
        [PROBE_SEND] = run_send, [PROBE_RECEIVE] = run_receive,
    };
    probe_go_e go;

    do {
        go = steps[probe->step](probe);
    } while (go == PROBE_NEXT);
    return go == PROBE_ENDED;
}

int probe_run_expired(probe_t *probe)
{
    switch (probe->step) {
    case PROBE_LOOKUP:
        probe_run_end(probe, USHER_CHECK_NAME_LATE, 0, NULL);
        return 1;
    case PROBE_CONNECT:
    case PROBE_CONNECTING:
        if (probe->addresses_tried < probe->addresses_len) {
            probe->step = PROBE_CONNECT;
            return probe_run_go(probe);
        }
        probe_run_end(probe, USHER_CHECK_UNREACHABLE, 0, NULL);
        return 1;
    default:
        probe_run_end(probe, USHER_CHECK_SILENT, 0, NULL);
        return 1;
    }
}

void probe_run_close(probe_t *probe)
{
    run_disconnect(probe);
    free(probe->buf);
}
