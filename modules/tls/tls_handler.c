/* The handler usher-tls: who may see the statistics, what of them is asked for, and in which form. */
#include <arpa/inet.h>
#include <http_protocol.h>
#include <http_request.h>
#include <openssl/ssl.h>
#include <util_script.h>

#include "tls_stats.h"
#include "usher_clock.h"
#include "usher_number.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_tls);

#define HANDLER "usher-tls"

static const usher_guard_spec_t spec = {
    .handler = HANDLER,
    .what = "the statistics are",
    .reason = "shows who connects",
};

static usher_guard_t *guard; /* NULL: there is no core, nobody is let in */

int tls_handler_check_config(server_rec *s)
{
    guard = NULL;
    return tls_conf_core()->guard_check(&guard, &spec, s);
}

const char *tls_view_time(const tls_view_t *view, apr_int64_t time)
{
    char *text = apr_palloc(view->r->pool, USHER_UTC_SIZE + 1);

    if (!tls_stats_utc(time)) {
        return "-";
    }
    usher_utc_format(text, tls_stats_utc(time));
    /* Whole seconds. */
    memmove(text + 19, text + 26, strlen(text + 26) + 1);
    return text;
}

const char *tls_view_version(const tls_view_t *view, apr_uint16_t version)
{
    const char *name = version ? usher_tls_version_name(version) : NULL;

    return name ? name : "-";
}

const char *tls_view_cipher(const tls_view_t *view, apr_uint16_t cipher)
{
    const unsigned char bytes[2] = { (unsigned char)(cipher >> 8), (unsigned char)cipher };
    const SSL_CIPHER *known = view->ssl && cipher ? SSL_CIPHER_find(view->ssl, bytes) : NULL;

    return !cipher ? "-" : known ? SSL_CIPHER_get_name(known)
                                 : apr_psprintf(view->r->pool, "%04x", cipher);
}

static apr_status_t handler_free_ssl(void *ssl)
{
    SSL_free(ssl);
    return APR_SUCCESS;
}

/* For the names of ciphers. @return NULL: they are shown as numbers */
static SSL *handler_make_ssl(apr_pool_t *p)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;

    SSL_CTX_free(ctx); /* the SSL keeps it */
    if (ssl) {
        apr_pool_cleanup_register(p, ssl, handler_free_ssl, apr_pool_cleanup_null);
    }
    return ssl;
}

const char *tls_view_group(const tls_view_t *view, apr_uint16_t group)
{
    const char *name = group ? usher_tls_group_name(group) : "-";

    return name ? name : apr_psprintf(view->r->pool, "%04x", group);
}

const char *tls_view_vhost(const tls_view_t *view, apr_uint32_t vhost)
{
    char name[USHER_TLSSTATS_VHOST_SIZE], *shown;

    usher_tlsstats_vhost_name(view->stats, vhost, name);
    shown = apr_palloc(view->r->pool, USHER_TEXT_SHOWN_SIZE(strlen(name)));
    usher_text_show(shown, name, strlen(name));
    return *shown ? shown : "(other)";
}

const char *tls_view_address(const tls_view_t *view, const usher_tlsstats_client_t *client)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    int v4 = !memcmp(client->address, mapped, sizeof(mapped));
    char text[INET6_ADDRSTRLEN] = "";

    inet_ntop(v4 ? AF_INET : AF_INET6, client->address + (v4 ? 12 : 0), text, sizeof(text));
    return apr_pstrcat(view->r->pool, text, !client->is_prefix ? "" : v4 ? "/24" : "/48", NULL);
}

static int view_collect_client(void *baton, const usher_tlsstats_client_t *client)
{
    APR_ARRAY_PUSH((apr_array_header_t *)baton, usher_tlsstats_client_t) = *client;
    return 1;
}

static int view_compare_clients(const void *a, const void *b)
{
    const usher_tlsstats_client_t *one = a, *other = b;

    if (one->version != other->version) {
        return one->version < other->version ? -1 : 1;
    }
    if (one->cipher != other->cipher) {
        return one->cipher < other->cipher ? -1 : 1;
    }
    return one->count != other->count ? one->count < other->count ? 1 : -1
                                      : memcmp(one->address, other->address, sizeof(one->address));
}

apr_array_header_t *tls_view_clients(const tls_view_t *view)
{
    apr_array_header_t *clients = apr_array_make(view->r->pool, 64, sizeof(usher_tlsstats_client_t));

    usher_tlsstats_each_client(view->stats, view_collect_client, clients);
    qsort(clients->elts, (size_t)clients->nelts, sizeof(usher_tlsstats_client_t), view_compare_clients);
    return clients;
}

static int view_collect_offer(void *baton, const usher_tlsstats_offer_t *offer)
{
    APR_ARRAY_PUSH((apr_array_header_t *)baton, usher_tlsstats_offer_t) = *offer;
    return 1;
}

static int view_compare_offers(const void *a, const void *b)
{
    const usher_tlsstats_offer_t *one = a, *other = b;

    return one->connections != other->connections
               ? one->connections < other->connections ? 1 : -1
               : one->id < other->id ? -1 : one->id > other->id;
}

apr_array_header_t *tls_view_offers(const tls_view_t *view)
{
    apr_array_header_t *offers = apr_array_make(view->r->pool, 64, sizeof(usher_tlsstats_offer_t));

    usher_tlsstats_each_offer(view->stats, view_collect_offer, offers);
    qsort(offers->elts, (size_t)offers->nelts, sizeof(usher_tlsstats_offer_t), view_compare_offers);
    return offers;
}

apr_int64_t tls_view_distinct(const tls_view_t *view, apr_uint16_t version, apr_uint16_t cipher)
{
    return view->vhost != USHER_TLSSTATS_ALL || view->span.unit == USHER_TLSSTATS_BY_HOUR
               ? -1 : usher_tlsstats_clients(view->stats, version, cipher, &view->span);
}

/* @return what is wrong with what is asked for; NULL: nothing */
static const char *handler_read_span(tls_view_t *view, const char *hours, const char *days)
{
    const char *text = hours ? hours : days;
    int most = hours ? USHER_TLSSTATS_HOURS : USHER_TLSSTATS_DAYS - 1;
    apr_uint64_t len = 0;

    view->span = (usher_tlsstats_span_t) { USHER_TLSSTATS_ALWAYS, 0, 0 };
    view->span_name = apr_pstrcat(view->r->pool, "since ", tls_view_time(
        view, (apr_int64_t)atomic_load(&view->stats->header->begun)), NULL);
    if (!text) {
        return NULL;
    }
    if (hours && days) {
        return "either days or hours can be asked for, not both";
    }
    if (usher_number_parse(&len, most, text, strlen(text)) != strlen(text) || !len) {
        return apr_psprintf(view->r->pool, "%s is a number from 1 to %d", hours ? "hours" : "days",
                            most);
    }
    view->span = usher_tlsstats_last(hours ? USHER_TLSSTATS_BY_HOUR : USHER_TLSSTATS_BY_DAY,
                                     (apr_uint32_t)len, view->now);
    view->span_name = len == 1 ? hours ? "hour" : "day"
                               : apr_psprintf(view->r->pool, "%d %s", (int)len,
                                              hours ? "hours" : "days");
    return NULL;
}

static int handler_read_vhost(tls_view_t *view, const char *vhost)
{
    char name[USHER_TLSSTATS_VHOST_SIZE];

    view->vhost = USHER_TLSSTATS_ALL;
    view->vhost_name = NULL;
    if (!vhost) {
        return 1;
    }
    for (view->vhost = 1; view->vhost < USHER_TLSSTATS_VHOSTS; ++view->vhost) {
        usher_tlsstats_vhost_name(view->stats, view->vhost, name);
        if (*name && !strcmp(name, vhost)) {
            view->vhost_name = tls_view_vhost(view, view->vhost);
            return 1;
        }
    }
    return 0;
}

/* @return 0 to stop: it is none that we know */
static int handler_knows(void *unknown, const char *name, const char *value)
{
    static const char *const known[] = { "format", "days", "hours", "vhost" };
    apr_size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); ++i) {
        if (!strcmp(name, known[i])) {
            return 1;
        }
    }
    *(const char **)unknown = name;
    return 0;
}

/* @return what is wrong; NULL: nothing */
static const char *handler_read_args(tls_view_t *view, apr_table_t *args)
{
    const char *format = apr_table_get(args, "format"), *unknown = NULL;
    char *shown;

    apr_table_do(handler_knows, &unknown, args, NULL);
    if (unknown) {
        shown = apr_palloc(view->r->pool, USHER_TEXT_SHOWN_SIZE(strlen(unknown)));
        usher_text_show(shown, unknown, strlen(unknown));
        return apr_psprintf(view->r->pool, "\"%s\" is no parameter: format, days, hours and vhost "
                            "are", shown);
    }
    if (format && strcmp(format, "json") && strcmp(format, "text")) {
        return "format is json or text";
    }
    return handler_read_span(view, apr_table_get(args, "hours"), apr_table_get(args, "days"));
}

/* ?format=json or ?format=text, else what Accept names. */
static int handler_wants_json(request_rec *r, apr_table_t *args)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *format = apr_table_get(args, "format");

    return format ? !strcmp(format, "json") : accept && ap_strcasestr(accept, "application/json");
}

/* Neither form can be taken for a page of this site. */
static void handler_head(request_rec *r, int json)
{
    ap_set_content_type(r, json ? "application/json" : "text/plain; charset=us-ascii");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Vary", "Accept");
}

static int handler_refuse(request_rec *r, const char *why)
{
    r->status = HTTP_BAD_REQUEST;
    handler_head(r, 0);
    ap_rprintf(r, "%s\n", why);
    return OK;
}

int tls_handler(request_rec *r)
{
    tls_view_t view = { .r = r, .stats = tls_stats(), .now = tls_stats_now() };
    apr_table_t *args;
    const char *wrong;
    int json;

    if (!r->handler || ap_cstr_casecmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    if (!guard || !tls_conf_core()->guard_admits(guard, r)
        || !tls_conf_core()->guard_knows_host(guard, r)) {
        return HTTP_FORBIDDEN;
    }
    r->allowed = AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (!view.stats) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    ap_args_to_table(r, &args);
    wrong = handler_read_args(&view, args);
    if (wrong) {
        return handler_refuse(r, wrong);
    }
    if (!handler_read_vhost(&view, apr_table_get(args, "vhost"))) {
        return HTTP_NOT_FOUND;
    }
    view.ssl = handler_make_ssl(r->pool);
    json = handler_wants_json(r, args);
    handler_head(r, json);
    if (!r->header_only) {
        (json ? tls_json_print : tls_text_print)(&view);
    }
    return OK;
}
