/* A large body of the client's, read in larger pieces than the 8000 bytes that APR's
 * socket bucket asks for. All that comes from a client comes out of such a bucket; here
 * is one that can read more, put in the place of APR's by httpd's hook for that. It
 * does so only while a large body is awaited. */
#include <http_core.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

#define GULP_LARGE 32768

/* Of a connection, in its pool. */
typedef struct gulp_t {
    apr_socket_t *socket;
    apr_size_t size; /* so much is read at once */
} gulp_t;

static const apr_bucket_type_t gulp_type;

static apr_bucket *gulp_make(apr_bucket *e, gulp_t *gulp)
{
    e->type = &gulp_type;
    e->length = (apr_size_t)-1;
    e->start = -1;
    e->data = gulp;
    return e;
}

static apr_bucket *gulp_create(gulp_t *gulp, apr_bucket_alloc_t *list)
{
    apr_bucket *e = apr_bucket_alloc(sizeof(*e), list);

    APR_BUCKET_INIT(e);
    e->free = apr_bucket_free;
    e->list = list;
    return gulp_make(e, gulp);
}

static apr_status_t gulp_recv(apr_socket_t *socket, char *buf, apr_size_t *len,
                              apr_read_type_e block)
{
    apr_interval_time_t max = 0;
    apr_status_t rv;

    if (block == APR_NONBLOCK_READ) {
        apr_socket_timeout_get(socket, &max);
        apr_socket_timeout_set(socket, 0);
    }
    rv = apr_socket_recv(socket, buf, len);
    if (block == APR_NONBLOCK_READ) {
        apr_socket_timeout_set(socket, max);
    }
    return rv;
}

/* What was read takes the bucket's place, and a new one follows; at the connection's
 * end none does. */
static apr_status_t gulp_read(apr_bucket *e, const char **data, apr_size_t *len,
                              apr_read_type_e block)
{
    gulp_t *gulp = e->data;
    char *buf = apr_bucket_alloc(gulp->size, e->list);
    apr_status_t rv;

    *data = NULL;
    *len = gulp->size;
    rv = gulp_recv(gulp->socket, buf, len, block);
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        apr_bucket_free(buf);
        return rv;
    }
    if (!*len) {
        apr_bucket_free(buf);
        apr_bucket_immortal_make(e, "", 0);
        *data = "";
        return block == APR_NONBLOCK_READ ? APR_EOF : APR_SUCCESS;
    }
    apr_bucket_heap_make(e, buf, *len, apr_bucket_free);
    APR_BUCKET_INSERT_AFTER(e, gulp_create(gulp, e->list));
    *data = buf;
    return APR_SUCCESS;
}

static const apr_bucket_type_t gulp_type = {
    "USHER_SOCKET", 5, APR_BUCKET_DATA, apr_bucket_destroy_noop, gulp_read,
    apr_bucket_setaside_notimpl, apr_bucket_split_notimpl, apr_bucket_copy_notimpl
};

static apr_status_t gulp_insert(conn_rec *c, apr_bucket_brigade *bb, apr_socket_t *socket)
{
    gulp_t *gulp;

    /* A connection to a backend has other things there (backend_tls.c). */
    if (c->master || c->outgoing
        || ap_get_module_config(c->conn_config, &usher_backend_module)) {
        return AP_DECLINED;
    }
    gulp = apr_palloc(c->pool, sizeof(*gulp));
    gulp->socket = socket;
    gulp->size = APR_BUCKET_BUFF_SIZE;
    ap_set_module_config(c->conn_config, &usher_backend_module, gulp);
    APR_BRIGADE_INSERT_TAIL(bb, gulp_create(gulp, bb->bucket_alloc));
    return APR_SUCCESS;
}

static void gulp_set(conn_rec *c, apr_size_t size)
{
    gulp_t *gulp = c->master ? NULL
                             : ap_get_module_config(c->conn_config, &usher_backend_module);

    if (gulp) {
        gulp->size = size;
    }
}

void backend_gulp_begin(conn_rec *c)
{
    gulp_set(c, GULP_LARGE);
}

void backend_gulp_end(conn_rec *c)
{
    gulp_set(c, APR_BUCKET_BUFF_SIZE);
}

void backend_gulp_register(void)
{
    ap_hook_insert_network_bucket(gulp_insert, NULL, NULL, APR_HOOK_LAST);
}
