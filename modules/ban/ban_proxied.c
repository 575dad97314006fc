/* Connections behind the PROXY protocol: who is banned is refused when the header is there, before the TLS
 * handshake.
 *
 * A filter right below that of mod_remoteip looks at the bytes that go up to it. It takes nothing away and adds
 * nothing: mod_remoteip reads the header and checks it, and goes on as if nobody had looked. */
#include "ban_private.h"

#include <http_connection.h>
#include <util_filter.h>

#include "usher_proxyproto.h"

APLOG_USE_MODULE(usher_ban);

/* Of mod_remoteip's filter; those of one type are in the order in which they were added. */
#define REMOTEIP_FILTER "remoteip_input"
#define FILTER_TYPE     (AP_FTYPE_CONNECTION + 7)

typedef struct {
    apr_size_t len;
    char bytes[USHER_PROXYPROTO_ENOUGH];
} proxied_header_t;

static ap_filter_rec_t *filter;
static int remoteip_is_loaded;

/* The bytes of a brigade, as many as are needed yet. */
static void proxied_gather(proxied_header_t *header, apr_bucket_brigade *bb)
{
    apr_bucket *b;
    const char *data;
    apr_size_t len;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (!APR_BUCKET_IS_METADATA(b) && !apr_bucket_read(b, &data, &len, APR_NONBLOCK_READ)) {
            if (len > sizeof(header->bytes) - header->len) {
                len = sizeof(header->bytes) - header->len;
            }
            memcpy(header->bytes + header->len, data, len);
            header->len += len;
        }
    }
}

/* The client is known. @return 1: he is turned away */
static int proxied_judge(conn_rec *c, ban_conn_t *conn, usher_cidr_address_t client)
{
    ban_verdict_t verdict;

    conn->proxied = BAN_PROXIED_CLIENT;
    conn->client = client;
    if (!ban_door_judge(c, client, &verdict)) {
        return 0;
    }
    conn->proxied = BAN_PROXIED_REFUSED;
    ban_door_refuse(c, ap_get_conn_socket(c), client, &verdict);
    c->aborted = 1;
    return 1;
}

/* Who is refused gets an empty brigade: an error would be logged by mod_remoteip, each time. */
static apr_status_t proxied_input_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                         apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t status = ap_get_brigade(f->next, bb, mode, block, readbytes);
    proxied_header_t *gathered = f->ctx;
    usher_proxyproto_t header;
    usher_parse_e parsed;

    if (status || !gathered) {
        return status;
    }
    proxied_gather(gathered, bb);
    parsed = usher_proxyproto_read(&header, gathered->bytes, gathered->len);
    if (parsed != USHER_PARSE_MORE) {
        f->ctx = NULL; /* all that comes is the client's */
    }
    if (parsed == USHER_PARSE_DONE && header.has_client
        && proxied_judge(f->c, ban_conn_of(f->c), header.client)) {
        apr_brigade_cleanup(bb);
    }
    return APR_SUCCESS;
}

void ban_proxied_register(void)
{
    filter = ap_register_input_filter("USHER_BAN_PROXIED", proxied_input_filter, NULL, FILTER_TYPE);
}

void ban_proxied_post_config(void)
{
    remoteip_is_loaded = ap_find_linked_module("mod_remoteip.c") != NULL;
}

int ban_proxied_begin(conn_rec *c)
{
    ap_filter_t *f;

    if (!remoteip_is_loaded) {
        return 0;
    }
    for (f = c->input_filters; f && strcmp(f->frec->name, REMOTEIP_FILTER) != 0; f = f->next) {
    }
    if (!f) {
        return 0;
    }
    ban_conn_of(c)->proxied = BAN_PROXIED_UNKNOWN;
    if (f->frec->ftype == FILTER_TYPE) {
        ap_add_input_filter_handle(filter, apr_pcalloc(c->pool, sizeof(proxied_header_t)), NULL, c);
    }
    return 1;
}

ban_proxied_e ban_proxied_of(const conn_rec *c, usher_cidr_address_t *client)
{
    const ban_conn_t *conn = ap_get_module_config((c->master ? c->master : c)->conn_config, &usher_ban_module);

    if (!conn) {
        return BAN_PROXIED_NOT;
    }
    *client = conn->client;
    return conn->proxied;
}

int ban_proxied_client(conn_rec *c, usher_cidr_address_t *address)
{
    switch (ban_proxied_of(c, address)) {
    case BAN_PROXIED_CLIENT:
        return 1;
    case BAN_PROXIED_NOT:
        *address = ban_address(c->client_addr);
        return !ban_never_is_proxy(*address);
    default:
        return 0;
    }
}
