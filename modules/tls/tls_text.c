/* The statistics as text: one table below the other. */
#include <http_protocol.h>

#include "tls_stats.h"
#include "usher_text.h"

#define NUMBER "%12" APR_UINT64_T_FMT

static const char *text_clients(const tls_view_t *view, apr_int64_t clients)
{
    return clients < 0 ? "-" : apr_psprintf(view->r->pool, "%" APR_INT64_T_FMT, clients);
}

/* What a row is of: "TLSv1.2 ECDHE-RSA-AES128-SHA". */
static const char *text_label(const tls_view_t *view, unsigned int by, const usher_tlsstats_row_t *row)
{
    const char *label = "";

    if (by & USHER_TLSSTATS_VHOST) {
        label = tls_view_vhost(view, row->vhost);
    }
    if (by & USHER_TLSSTATS_OUTCOME) {
        label = apr_psprintf(view->r->pool, "%-20s ",
                             usher_tls_outcome_name((usher_tls_outcome_e)row->outcome));
    }
    if (by & USHER_TLSSTATS_VERSION) {
        label = apr_psprintf(view->r->pool, "%s%s", label, tls_view_version(view, row->version));
    }
    if (by & USHER_TLSSTATS_CIPHER) {
        label = apr_psprintf(view->r->pool, "%-7s %s", label, tls_view_cipher(view, row->cipher));
    }
    if (by & USHER_TLSSTATS_GROUP) {
        label = tls_view_group(view, row->group);
    }
    return label;
}

static void text_rows(const tls_view_t *view, const char *title, unsigned int by, int failed)
{
    usher_tlsstats_row_t *rows = apr_palloc(view->r->pool, TLS_VIEW_ROWS * sizeof(*rows));
    apr_uint32_t len = usher_tlsstats_rows(view->stats, by, view->vhost, failed, &view->span, rows,
                                           TLS_VIEW_ROWS), i;
    int distinct = !failed && !(by & ~(unsigned int)(USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER));

    if (!len) {
        return;
    }
    ap_rprintf(view->r, "\n%-44s %12s%s%s\n", title, "CONNECTIONS", failed ? "" : "     REQUESTS",
               distinct ? "      CLIENTS" : "");
    for (i = 0; i < len; ++i) {
        ap_rprintf(view->r, "%-44s " NUMBER, text_label(view, by, &rows[i]), rows[i].connections);
        if (!failed) {
            ap_rprintf(view->r, " " NUMBER, rows[i].requests);
        }
        if (distinct) {
            ap_rprintf(view->r, " %12s", text_clients(
                view, rows[i].version ? tls_view_distinct(view, rows[i].version, rows[i].cipher) : -1));
        }
        ap_rputs("\n", view->r);
    }
}

static void text_listed(const tls_view_t *view)
{
    const apr_array_header_t *clients = tls_view_clients(view);
    int i;

    if (clients->nelts) {
        ap_rprintf(view->r, "\n%-32s %-40s %11s %8s  %-25s  %-25s  %s\n", "WHO USES WHAT IS OLD OR WEAK",
                   "ADDRESS", "CONNECTIONS", "FAILED", "FIRST SEEN", "LAST SEEN", "USER AGENT");
    }
    for (i = 0; i < clients->nelts; ++i) {
        const usher_tlsstats_client_t *client = &APR_ARRAY_IDX(clients, i, usher_tlsstats_client_t);
        char agent[USHER_TEXT_SHOWN_SIZE(USHER_TLSSTATS_AGENT_SIZE)];

        usher_text_show(agent, client->agent, strlen(client->agent));
        ap_rprintf(view->r, "%-32s %-40s %11" APR_UINT64_T_FMT " %8" APR_UINT64_T_FMT "  %-25s  %-25s  %s\n",
                   client->version ? tls_view_version(view, client->version)
                                   : tls_view_cipher(view, client->cipher),
                   tls_view_address(view, client), client->count, client->failed,
                   tls_view_time(view, client->first_seen), tls_view_time(view, client->last_seen),
                   agent);
    }
}

void tls_text_print(const tls_view_t *view)
{
    usher_tlsstats_span_t always = { USHER_TLSSTATS_ALWAYS, 0, 0 };

    ap_rprintf(view->r, "TLS of %s at %s, %s%s%s; distinct clients: %s, to 0.8 %%\n",
               view->vhost_name ? view->vhost_name : view->r->server->server_hostname,
               tls_view_time(view, view->now),
               view->span.unit == USHER_TLSSTATS_ALWAYS ? "" : "the last ", view->span_name,
               view->vhost_name ? "" : ", all virtual hosts",
               text_clients(view, tls_view_distinct(view, 0, 0)));
    text_rows(view, "VERSION", USHER_TLSSTATS_VERSION, 0);
    text_rows(view, "CIPHER", USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER, 0);
    text_rows(view, "GROUP", USHER_TLSSTATS_GROUP, 0);
    text_rows(view, "FAILED                BEST VERSION OFFERED", USHER_TLSSTATS_OUTCOME | USHER_TLSSTATS_VERSION, 1);
    if (!view->vhost_name) {
        text_rows(view, "VIRTUAL HOST", USHER_TLSSTATS_VHOST, 0);
    }
    text_listed(view);
    ap_rprintf(view->r, "\n%d different offers; %" APR_UINT64_T_FMT " connections had others\n",
               tls_view_offers(view)->nelts, usher_tlsstats_lost(view->stats, &always));
}
