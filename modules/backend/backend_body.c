/* The client's body: how it is framed when it is sent on, and what is held of
 * it, so that it can be sent again.
 *
 * The bytes [0, held) lie in memory, and what does not fit there in a temporary
 * file. What is read later goes through bb without being held, and leaves a
 * gap: such a body cannot be sent a second time. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* So much is read before a backend is bothered: a short body then has a length
 * even if it came in chunks, and its request is sent in one piece. */
#define PREFETCH 16384
/* Read from the client, and from the file, in pieces of at most this: what is
 * larger falls out of the caches before it is sent (measured). */
#define PIECE 32768
/* What backend_body_discard() takes at most. */
#define DISCARD_MAX (8 * 1024 * 1024)
#define DISCARD_TIME (2 * APR_USEC_PER_SEC)

static apr_off_t body_held(const backend_body_t *body)
{
    return (apr_off_t)body->mem_len + body->file_len;
}

static apr_size_t body_memory_max(const backend_exchange_t *x)
{
    return x->conf->hold_memory > PREFETCH ? (apr_size_t)x->conf->hold_memory : PREFETCH;
}

/* What is first asked for: as the pool takes nothing back, no more than comes. */
static apr_size_t body_memory_first(const backend_body_t *body)
{
    return body->framing != BACKEND_BODY_LENGTH || body->length <= 0 ? 1024
           : body->length < PREFETCH ? (apr_size_t)body->length : PREFETCH;
}

static void body_hold_in_memory(backend_exchange_t *x, const char *data, apr_size_t len)
{
    backend_body_t *body = &x->body;
    apr_size_t size = body->mem_size ? body->mem_size : body_memory_first(body);
    char *mem;

    while (size < body->mem_len + len) {
        size *= 2;
    }
    if (size > body->mem_size) {
        mem = apr_palloc(x->r->pool, size);
        if (body->mem_len) {
            memcpy(mem, body->mem, body->mem_len);
        }
        body->mem = mem;
        body->mem_size = size;
    }
    memcpy(body->mem + body->mem_len, data, len);
    body->mem_len += len;
}

static apr_status_t body_file_close(void *data)
{
    close(*(int *)data);
    return APR_SUCCESS;
}

/* Without a name, so that nothing stays when this child is killed. */
static int body_file_open(backend_exchange_t *x)
{
    backend_body_t *body = &x->body;
    const char *dir;
    char *name;

    if (apr_temp_dir_get(&dir, x->r->pool) != APR_SUCCESS) {
        return 0;
    }
    name = apr_pstrcat(x->r->pool, dir, "/usher.body.XXXXXX", NULL);
    body->file = mkostemp(name, O_CLOEXEC);
    if (body->file < 0) {
        return 0;
    }
    unlink(name);
    apr_pool_cleanup_register(x->r->pool, &body->file, body_file_close, apr_pool_cleanup_null);
    return 1;
}

static int body_hold_in_file(backend_exchange_t *x, const char *data, apr_size_t len)
{
    backend_body_t *body = &x->body;
    ssize_t n;

    if (body->file < 0 && !body_file_open(x)) {
        return 0;
    }
    for (apr_size_t done = 0; done < len; done += n) {
        n = pwrite(body->file, data + done, len - done, body->file_len + (apr_off_t)done);
        if (n <= 0) {
            return 0;
        }
    }
    body->file_len += (apr_off_t)len;
    return 1;
}

/* Hold a piece that follows what is held. Returns 0 where there is no room for
 * it, or no disk: it goes on without a replay then. */
static int body_hold(backend_exchange_t *x, const char *data, apr_size_t len, int limited)
{
    backend_body_t *body = &x->body;

    if (!body->file_len && body->mem_len + len <= body_memory_max(x)) {
        body_hold_in_memory(x, data, len);
        return 1;
    }
    if (limited && (!x->replayable || body_held(body) + (apr_off_t)len > x->conf->hold_file)) {
        return 0;
    }
    if (!body_hold_in_file(x, data, len)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, errno, x->r, USHERLOGNO(2005)
                      "a request's body cannot be held in a temporary file; it "
                      "cannot be sent again. Look at the disk of TMPDIR, or lower "
                      "UsherReplayBuffer");
        return 0;
    }
    return 1;
}

/* Reading from the client */

/* Take over what a read gave: hold it, or leave it in bb. */
static apr_status_t body_take(backend_exchange_t *x, apr_bucket_brigade *bb, int limited)
{
    backend_body_t *body = &x->body;
    const char *data;
    apr_bucket *e;
    apr_size_t len;
    apr_status_t rv;

    while (!APR_BRIGADE_EMPTY(bb)) {
        e = APR_BRIGADE_FIRST(bb);
        if (APR_BUCKET_IS_EOS(e)) {
            body->eos = 1;
        }
        if (!APR_BUCKET_IS_METADATA(e)) {
            rv = apr_bucket_read(e, &data, &len, APR_BLOCK_READ);
            if (rv != APR_SUCCESS) {
                return rv;
            }
            body->read += (apr_off_t)len;
            body->keep = body->keep && body_hold(x, data, len, limited);
            if (!body->keep && !limited) {
                return APR_ENOSPC; /* its length is needed, and no room for it */
            }
            if (!body->keep && len) {
                rv = apr_bucket_setaside(e, x->r->pool);
                if (rv != APR_SUCCESS && rv != APR_ENOTIMPL) {
                    return rv;
                }
                APR_BUCKET_REMOVE(e);
                APR_BRIGADE_INSERT_TAIL(body->bb, e);
                continue;
            }
        }
        apr_bucket_delete(e);
    }
    return APR_SUCCESS;
}

/* APR_EAGAIN: nothing there just now. */
static apr_status_t body_fetch(backend_exchange_t *x, apr_size_t max, int limited)
{
    request_rec *r = x->r;
    apr_bucket_brigade *bb = backend_client_brigade(x);
    apr_status_t rv;

    rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_NONBLOCK_READ,
                        (apr_off_t)max);
    if (rv == APR_SUCCESS) {
        rv = APR_BRIGADE_EMPTY(bb) ? APR_EAGAIN : body_take(x, bb, limited);
    }
    apr_brigade_cleanup(bb);
    return rv;
}

/* Who ends a request whose body cannot be read. httpd refuses what is no HTTP, or too much; the
 * filter that did may have sent its answer already. */
static char body_who_failed(apr_status_t rv)
{
    if (APR_STATUS_IS_TIMEUP(rv)) {
        return 'c';
    }
    return rv == AP_FILTER_ERROR || rv == APR_ENOSPC || rv == APR_EINVAL || rv == APR_ENOTIMPL
        ? 'P' : 'C';
}

static int body_failed(backend_exchange_t *x, apr_status_t rv)
{
    int status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);

    x->why = APR_STATUS_IS_TIMEUP(rv) ? "the client was too slow with the request's body"
                                      : "the client's body ended too soon or was refused";
    x->state.who = body_who_failed(rv);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, x->r, USHERLOGNO(2006)
                  "%s, after %" APR_OFF_T_FMT " bytes", x->why, x->body.read);
    return status;
}

static int body_read_ahead(backend_exchange_t *x, apr_off_t max, int limited)
{
    apr_time_t until = backend_now() + x->r->server->timeout;
    apr_status_t rv;

    while (!x->body.eos && x->body.read < max) {
        rv = body_fetch(x, PREFETCH - (apr_size_t)(x->body.read % PREFETCH), limited);
        if (rv == APR_SUCCESS) {
            until = backend_now() + x->r->server->timeout;
            continue;
        }
        if (!APR_STATUS_IS_EAGAIN(rv)) {
            return body_failed(x, rv);
        }
        backend_answer_ask_body(x);
        if (backend_client_wait(x, until)) {
            return body_failed(x, APR_ECONNABORTED);
        }
        if (x->total_deadline && backend_now() >= x->total_deadline) {
            body_failed(x, APR_TIMEUP);
            return HTTP_GATEWAY_TIME_OUT;
        }
        if (backend_now() >= until) {
            return body_failed(x, APR_TIMEUP);
        }
    }
    return OK;
}

void backend_body_discard(backend_exchange_t *x)
{
    apr_time_t until = backend_now() + DISCARD_TIME;
    apr_bucket_brigade *bb = backend_client_brigade(x);
    apr_off_t read = 0, n;
    apr_status_t rv;

    while (!x->body.eos && read < DISCARD_MAX && backend_now() < until) {
        rv = ap_get_brigade(x->r->input_filters, bb, AP_MODE_READBYTES,
                            APR_NONBLOCK_READ, PIECE);
        if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
            x->body.eos = APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
            apr_brigade_length(bb, 0, &n);
            read += n > 0 ? n : 0;
            apr_brigade_cleanup(bb);
        }
        else if ((rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv))
                 || backend_client_wait(x, until)) {
            return;
        }
    }
}

/* Framing */

static int body_env(const request_rec *r, const char *name)
{
    return apr_table_get(r->subprocess_env, name) != NULL;
}

static int body_wants_length(const request_rec *r)
{
    return body_env(r, "proxy-sendcl") && !body_env(r, "proxy-sendchunked")
           && !body_env(r, "proxy-sendchunks");
}

static int body_wants_chunks(const request_rec *r)
{
    return (body_env(r, "proxy-sendchunked") || body_env(r, "proxy-sendchunks"))
           && !body_env(r, "proxy-sendcl");
}

/* As the client framed it, where that can be kept: a filter may change the
 * length of a body. Returns 0 where all has to be read to know its length. */
static int body_frame(backend_exchange_t *x, const char *length, const char *coding)
{
    request_rec *r = x->r;
    backend_body_t *body = &x->body;

    if (!coding && length && r->input_filters == r->proto_input_filters) {
        body->framing = BACKEND_BODY_LENGTH;
        return ap_parse_strict_length(&body->length, length);
    }
    body->framing = BACKEND_BODY_CHUNKED;
    return !x->force_1_0 && (coding || !length ? !body_wants_length(r) : body_wants_chunks(r));
}

static int body_is_withheld(const backend_exchange_t *x)
{
    const proxy_worker *worker = x->member.worker;

    return !x->force_1_0 && !x->scheme->ajp
           && ((x->r->expecting_100 && x->dconf->forward_100_continue)
               || PROXY_SHOULD_PING_100_CONTINUE(worker, x->r));
}

/* ap_request_has_body() knows of none with HEAD; it goes on all the same. */
static int body_is_there(request_rec *r, const char *length, const char *coding)
{
    return ap_request_has_body(r)
           || (r->header_only && (coding || (length && strcmp(length, "0") != 0)));
}

int backend_body_begin(backend_exchange_t *x)
{
    request_rec *r = x->r;
    backend_body_t *body = &x->body;
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");
    int framed, rc;

    body->begun = 1;
    body->file = -1;
    body->keep = 1;
    if ((r->main && !r->kept_body) || !body_is_there(r, length, coding)) {
        body->eos = 1; /* a subrequest must not read the main request's */
        body->framing = length && !r->main ? BACKEND_BODY_LENGTH : BACKEND_BODY_NONE;
        return OK;
    }
    body->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    if (coding && ap_cstr_casecmp(coding, "chunked") != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, USHERLOGNO(2007)
                      "refused: a request with Transfer-Encoding \"%s\"; only "
                      "\"chunked\" is understood", coding);
        return HTTP_BAD_REQUEST;
    }
    if (coding && length) {
        length = NULL; /* RFC 9112 6.3: the coding counts */
        x->body.both = 1;
    }
    framed = body_frame(x, length, coding);
    body->withheld = framed && body_is_withheld(x);
    if (body->withheld) {
        backend_gulp_begin(r->connection);
        return OK;
    }
    rc = framed ? body_read_ahead(x, PREFETCH, 1)
                : body_read_ahead(x, APR_INT64_MAX, 0);
    if (rc == OK && body->eos) {
        body->framing = BACKEND_BODY_LENGTH;
        body->length = body->read;
    }
    else if (rc == OK) {
        backend_gulp_begin(r->connection);
    }
    return rc;
}

/* Sending */

static backend_body_e body_from_file(backend_exchange_t *x, apr_size_t max,
                                     backend_pieces_t *pieces)
{
    backend_body_t *body = &x->body;
    apr_off_t at = x->body_at - (apr_off_t)body->mem_len;
    apr_off_t most = max < PIECE ? (apr_off_t)max : PIECE;
    apr_off_t n = body->file_len - at < most ? body->file_len - at : most;
    ssize_t got;

    if (!x->file_buf) {
        x->file_buf = apr_palloc(x->r->pool, PIECE);
    }
    got = pread(body->file, x->file_buf, (size_t)n, at);
    if (got <= 0) {
        return BACKEND_BODY_FAILED;
    }
    pieces->iov[0].iov_base = x->file_buf;
    pieces->iov[0].iov_len = (size_t)got;
    pieces->len = 1;
    return BACKEND_BODY_DATA;
}

/* What was read and is not held: as many buckets as there is room for. */
static backend_body_e body_from_buckets(backend_exchange_t *x, apr_size_t max,
                                        backend_pieces_t *pieces)
{
    apr_bucket_brigade *bb = x->body.bb;
    const char *data;
    apr_bucket *e;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb) && max
         && pieces->len < BACKEND_PIECES_MAX; e = APR_BUCKET_NEXT(e)) {
        struct iovec *iov = &pieces->iov[pieces->len];

        if (apr_bucket_read(e, &data, &iov->iov_len, APR_BLOCK_READ) != APR_SUCCESS) {
            return BACKEND_BODY_FAILED;
        }
        if (iov->iov_len > max) {
            apr_bucket_split(e, max); /* of those that lie in memory: cannot fail */
            iov->iov_len = max;
        }
        iov->iov_base = (char *)data;
        max -= iov->iov_len;
        pieces->len++;
        x->out_buckets++;
    }
    return BACKEND_BODY_DATA;
}

/* What is held in memory, and where nothing is held beyond, what follows. */
static backend_body_e body_from_memory(backend_exchange_t *x, apr_size_t max,
                                       backend_pieces_t *pieces)
{
    backend_body_t *body = &x->body;
    apr_size_t left = body->mem_len - (apr_size_t)x->body_at;

    pieces->iov[0].iov_base = body->mem + x->body_at;
    pieces->iov[0].iov_len = left < max ? left : max;
    pieces->len = 1;
    return body->file_len ? BACKEND_BODY_DATA
                          : body_from_buckets(x, max - pieces->iov[0].iov_len, pieces);
}

/* What is already here. END: there is none. */
static backend_body_e body_pieces(backend_exchange_t *x, apr_size_t max,
                                  backend_pieces_t *pieces)
{
    backend_body_t *body = &x->body;

    x->out_buckets = 0;
    pieces->len = 0;
    if (x->body_at < (apr_off_t)body->mem_len) {
        return body_from_memory(x, max, pieces);
    }
    if (x->body_at < body_held(body)) {
        return body_from_file(x, max, pieces);
    }
    return !body->bb || APR_BRIGADE_EMPTY(body->bb) ? BACKEND_BODY_END
                                                    : body_from_buckets(x, max, pieces);
}

/* A filter may have made it longer or shorter than was announced: the backend
 * would take the rest for another request. */
static int body_is_of_its_length(backend_exchange_t *x, apr_size_t more, int ended)
{
    const backend_body_t *body = &x->body;
    apr_off_t at = x->body_at + (apr_off_t)more;

    if (body->framing != BACKEND_BODY_LENGTH
        || (at <= body->length && (!ended || at == body->length))) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r, USHERLOGNO(2008)
                  "a filter changed the length of the request's body to %s than the "
                  "%" APR_OFF_T_FMT " bytes announced: refused. Set proxy-sendchunked "
                  "or proxy-sendcl for this request", ended ? "less" : "more", body->length);
    return 0;
}

static apr_size_t body_sum(const backend_pieces_t *pieces)
{
    apr_size_t sum = 0;
    int i;

    for (i = 0; i < pieces->len; ++i) {
        sum += pieces->iov[i].iov_len;
    }
    return sum;
}

/* Read until n bytes are there that were not sent. EAGAIN: it has sent no more just now. */
static apr_status_t body_fetch_ahead(backend_exchange_t *x, apr_size_t n)
{
    backend_body_t *body = &x->body;
    apr_off_t until = x->body_at + (apr_off_t)n;

    while (body->ahead_rv == APR_SUCCESS && !body->eos && body->read < until) {
        body->ahead_rv = body_fetch(x, (apr_size_t)(until - body->read), 1);
        if (APR_STATUS_IS_EAGAIN(body->ahead_rv)) {
            body->ahead_rv = APR_SUCCESS;
            return APR_EAGAIN;
        }
    }
    return body->ahead_rv;
}

void backend_body_ahead(backend_exchange_t *x, apr_size_t n)
{
    body_fetch_ahead(x, n);
}

backend_body_e backend_body_next(backend_exchange_t *x, apr_size_t max,
                                 backend_pieces_t *pieces, int *status)
{
    backend_body_t *body = &x->body;
    backend_body_e found;
    apr_status_t rv = max == APR_SIZE_MAX ? APR_SUCCESS : body_fetch_ahead(x, max);

    *status = HTTP_BAD_REQUEST;
    for (;;) {
        if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
            *status = body_failed(x, rv);
            return BACKEND_BODY_FAILED;
        }
        found = body_pieces(x, max, pieces);
        if (found == BACKEND_BODY_DATA) {
            pieces->sum = body_sum(pieces);
            return body_is_of_its_length(x, pieces->sum, 0) ? BACKEND_BODY_DATA
                                                            : BACKEND_BODY_FAILED;
        }
        if (found != BACKEND_BODY_END) {
            return found;
        }
        if (body->eos) {
            return body_is_of_its_length(x, 0, 1) ? BACKEND_BODY_END : BACKEND_BODY_FAILED;
        }
        if (rv != APR_SUCCESS) {
            return BACKEND_BODY_WAIT;
        }
        rv = body_fetch(x, PIECE, 1);
    }
}

void backend_body_sent(backend_exchange_t *x)
{
    x->body.gap = x->body.gap || x->out_buckets;
    for (; x->out_buckets; --x->out_buckets) {
        apr_bucket_delete(APR_BRIGADE_FIRST(x->body.bb));
    }
}

void backend_body_connected(backend_exchange_t *x)
{
    x->body.keep = x->body.keep && x->replayable;
}

int backend_body_is_whole(const backend_exchange_t *x)
{
    apr_int64_t most = x->conf->hold_memory > x->conf->hold_file ? x->conf->hold_memory
                                                                : x->conf->hold_file;

    /* A little more may be held than the directive says. */
    return !x->body.gap && x->body.read <= most;
}
