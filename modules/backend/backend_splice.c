/* A large body of known length from the link's socket to the client's, through a
 * pipe: its bytes never come up into this process; over AJP the data of each large
 * packet, while what frames it does come up. Only where nothing stands
 * between the two that could want to see them: no TLS, no HTTP/2, no filter that
 * does more than count. The head, what came with it, and the last bytes go the
 * ordinary way (backend_relay.c), so that all that begins or ends an answer is
 * decided there.
 *
 * The pipe is empty before and after each step. What the filters would do with the
 * bytes is done here: counting, and the client's time-out. */
#include <fcntl.h>
#include <unistd.h>

#include <apr_optional.h>
#include <http_core.h>

#include "usher_ajp.h"

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* What is shorter is not worth a pipe. */
#define SPLICE_MIN 131072
/* So much at the end goes the ordinary way. */
#define TAIL 4096
/* A packet of less is read with others. */
#define PACKET_MIN 32768
/* And in packets only a very large body: each comes up in between, and where many share the
 * CPU, few of them are whole when they are looked at (measured). */
#define PACKETS_MIN 4194304
/* What a pipe holds. */
#define PIECE 65536
/* After so many bytes it is time to look at the clock. */
#define TURN 262144

/* Filters that leave a body as it is. The last two are there only before the head has
 * gone: they take themselves away then. */
static const char *const splice_idle_filters[] = {
    "core", "content_length", "http_outerror", "reqtimeout", "http_header", "byterange"
};
#define IDLE_ALWAYS 4
#define IDLE_BEFORE 6

static int splice_is_idle(const ap_filter_t *f, int known)
{
    int i;

    for (i = 0; i < known && strcmp(f->frec->name, splice_idle_filters[i]) != 0; ++i) {
    }
    return i < known;
}

static int splice_is_unfiltered(const backend_exchange_t *x)
{
    const ap_filter_t *f = x->r->output_filters;
    int known = x->passed ? IDLE_ALWAYS : IDLE_BEFORE;

    while (f && splice_is_idle(f, known)) {
        f = f->next;
    }
    return !f;
}

/* The same of the body, whatever frames it. */
static apr_off_t splice_body_left(const backend_exchange_t *x)
{
    apr_off_t left = x->answer.content_length - x->body_received;
    apr_off_t least = x->ends == BACKEND_ENDS_PACKET ? PACKETS_MIN : SPLICE_MIN;

    return x->pipe || left > least ? left - TAIL : 0;
}

/* How much may go this way. What packets have behind their data comes up, and the next
 * one's beginning. */
static apr_off_t splice_left(const backend_exchange_t *x)
{
    apr_off_t left = splice_body_left(x), packet;

    if (x->ends != BACKEND_ENDS_PACKET) {
        return left;
    }
    packet = x->packet_left > (x->pipe ? TAIL : PACKET_MIN) ? (apr_off_t)x->packet_left - 1 : 0;
    return left < packet ? left : packet;
}

apr_size_t backend_splice_gap(const backend_exchange_t *x)
{
    return x->pipe && !x->no_splice && x->ends == BACKEND_ENDS_PACKET
           && splice_body_left(x) > 0 && x->in_len < USHER_AJP_DATA_AT
               ? x->packet_left + USHER_AJP_DATA_AT - x->in_len : 0;
}

int backend_splice_fits(backend_exchange_t *x)
{
    int fits;

    if ((x->ends != BACKEND_ENDS_LENGTH && x->ends != BACKEND_ENDS_PACKET) || x->no_splice
        || x->bodyless || x->in_fresh || x->dropping
        || splice_left(x) <= 0 || x->sending != BACKEND_SEND_DONE || !x->body.eos) {
        return 0;
    }
    fits = !x->link->tls && !x->r->connection->master && x->client_fd >= 0
           && splice_is_unfiltered(x)
           && !apr_table_get(x->r->subprocess_env, "usher-no-splice");
    /* Before the head has gone there may be filters that go with it. */
    x->no_splice = !fits && x->passed;
    return fits;
}

static apr_status_t splice_close(void *data)
{
    int *ends = data;

    close(ends[0]);
    close(ends[1]);
    return APR_SUCCESS;
}

static int splice_open(backend_exchange_t *x)
{
    int *ends = apr_palloc(x->r->pool, 2 * sizeof(*ends));

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return 0;
    }
    apr_pool_cleanup_register(x->r->pool, ends, splice_close, apr_pool_cleanup_null);
    x->pipe = ends;
    return 1;
}

static apr_status_t splice_wait(const backend_exchange_t *x)
{
    struct pollfd fd = { .fd = x->client_fd, .events = POLLOUT };
    apr_interval_time_t max = x->r->server->timeout;
    int ready;

    apr_socket_timeout_get(ap_get_conn_socket(x->r->connection), &max);
    do {
        ready = poll(&fd, 1, max < 0 ? -1 : (int)apr_time_as_msec(max));
    } while (ready < 0 && errno == EINTR);
    return ready > 0 ? APR_SUCCESS : ready == 0 ? APR_TIMEUP : errno;
}

static void splice_count(backend_exchange_t *x, apr_off_t len)
{
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) *logio
        = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);

    x->r->bytes_sent += len;
    if (logio) {
        logio(x->r->connection, len);
    }
}

/* The MPM closes the client's socket under us when its child must end at once; the number
 * may be another file's then. */
static int splice_is_cut_off(const backend_exchange_t *x)
{
    apr_socket_t *socket = ap_get_conn_socket(x->r->connection);
    apr_os_sock_t fd = -1;

    return !socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS || fd != x->client_fd;
}

/* What is in the pipe, to the client. */
static apr_status_t splice_out(backend_exchange_t *x, apr_size_t len)
{
    apr_status_t rv = APR_SUCCESS;
    ssize_t n;

    while (len && rv == APR_SUCCESS) {
        if (splice_is_cut_off(x)) {
            return APR_ECONNABORTED;
        }
        n = splice(x->pipe[0], NULL, x->client_fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n > 0) {
            len -= (apr_size_t)n;
            splice_count(x, n);
        }
        else if (n < 0 && errno == EAGAIN) {
            rv = splice_wait(x);
        }
        else if (n == 0 || errno != EINTR) {
            rv = n ? errno : APR_EOF;
        }
    }
    return rv;
}

/* One piece from the link into the pipe. */
static backend_io_e splice_in(backend_exchange_t *x, apr_size_t *len, int *error)
{
    apr_off_t left = splice_left(x);
    backend_io_e io = backend_link_splice(x->link, x->pipe[1],
                                          left < PIECE ? (apr_size_t)left : PIECE, len, error);

    /* Not with such sockets; or nothing though poll() told of something: splice() does not
     * get past an urgent byte (MSG_OOB), which recv() leaves out. */
    if ((io == BACKEND_IO_FAILED && *error == EINVAL)
        || (io == BACKEND_IO_AGAIN && x->splice_dry)) {
        x->no_splice = 1;
        return BACKEND_IO_DONE;
    }
    x->splice_dry = io == BACKEND_IO_AGAIN;
    x->bytes_in += (apr_off_t)*len;
    x->body_received += (apr_off_t)*len;
    x->packet_left -= x->ends == BACKEND_ENDS_PACKET ? *len : 0;
    x->progress_at = *len ? 0 : x->progress_at;
    return io;
}

backend_io_e backend_splice(backend_exchange_t *x, int *error, apr_status_t *rv)
{
    backend_io_e io = BACKEND_IO_DONE;
    apr_off_t until = x->body_received + TURN;
    apr_size_t len;

    *rv = APR_SUCCESS;
    if (!x->pipe && (x->r->connection->data_in_output_filters || !splice_open(x))) {
        x->no_splice = 1;
    }
    while (io == BACKEND_IO_DONE && *rv == APR_SUCCESS && x->body_received < until
           && !x->no_splice && splice_left(x) > 0) {
        io = splice_in(x, &len, error);
        *rv = splice_out(x, len);
    }
    if (*rv != APR_SUCCESS) {
        x->r->connection->aborted = 1;
    }
    return io;
}
