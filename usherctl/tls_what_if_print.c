/* What usherctl tls what-if has found, for people and as JSON. */
#include <stdio.h>
#include <string.h>

#include "ctl_json.h"
#include "tls.h"
#include "tls_what_if.h"
#include "usher_tls_names.h"

#define COUNT "%" APR_UINT64_T_FMT

/* Names of a list are long: so many are shown. */
#define NAMES_MAX 4

/* "40 handshake_failure" */
static const char *alert_text(apr_pool_t *p, int alert)
{
    const char *name = alert >= 0 ? usher_tls_alert_name((unsigned int)alert) : NULL;

    return alert < 0 ? "-" : apr_psprintf(p, "%d %s", alert, name ? name : "?");
}

static const char *names(apr_pool_t *p, const apr_uint16_t *list, apr_size_t len, apr_size_t max,
                         const char *(*name)(apr_pool_t *p, apr_uint16_t number))
{
    const char *text = len ? "" : "-";
    apr_size_t i;

    for (i = 0; i < len && (!max || i < max); ++i) {
        text = apr_pstrcat(p, text, i ? "," : "", name(p, list[i]), NULL);
    }
    return i < len ? apr_psprintf(p, "%s,+%d", text, (int)(len - i)) : text;
}

static const char *offer_text(apr_pool_t *p, const usher_tlsstats_offer_t *offer)
{
    const char *versions = offer->versions_len
                               ? names(p, offer->versions, offer->versions_len, 0, tls_version_text)
                               : tls_version_text(p, offer->legacy_version);

    return apr_psprintf(p, "%s  %s  %s", versions,
                        names(p, offer->ciphers, offer->ciphers_len, NAMES_MAX, tls_cipher_text),
                        names(p, offer->groups, offer->groups_len, NAMES_MAX, tls_group_text));
}

static double share(apr_uint64_t part, apr_uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_sums(apr_pool_t *p, const what_if_t *found)
{
    printf("                would fail          of   share\n");
    printf("connections %14" APR_UINT64_T_FMT " %11" APR_UINT64_T_FMT " %6.2f%%\n",
           found->fail.connections, found->all.connections,
           share(found->fail.connections, found->all.connections));
    printf("clients %18" APR_UINT64_T_FMT " %11" APR_UINT64_T_FMT " %6.2f%%  estimates: each is "
           "within %.1f %% of the truth in 95 of 100 cases\n",
           found->clients_fail, found->clients_all, share(found->clients_fail, found->clients_all),
           2 * TLS_OFFER_ERROR);
    if (found->fail.failed) {
        printf("\nOf these " COUNT " connections " COUNT " have failed as it is.\n",
               found->fail.connections, found->fail.failed);
    }
    if (found->lost) {
        printf("\nNot known: " COUNT " connections (%.2f%%), whose offers found no place in the "
               "table.\n", found->lost, share(found->lost, found->lost + found->all.connections));
    }
    if (found->cut) {
        printf("\nNot certain: " COUNT " connections, whose offers were too long to be kept whole.\n",
               found->cut);
    }
}

/* Sums of the offers with the same alert and reason, in the order of the first of each */
static void print_reasons(apr_pool_t *p, const what_if_t *found)
{
    apr_hash_t *seen = apr_hash_make(p);
    int i, k;

    printf("\nWhy\n\n connections  offers  alert and reason\n");
    for (i = 0; i < found->offers->nelts; ++i) {
        const what_if_offer_t *first = APR_ARRAY_IDX(found->offers, i, what_if_offer_t *);
        const char *why = apr_psprintf(p, "%s: %s", alert_text(p, first->tried.alert),
                                       first->tried.reason);
        apr_uint64_t connections = 0;
        int offers = 0;

        if (apr_hash_get(seen, why, APR_HASH_KEY_STRING)) {
            continue;
        }
        apr_hash_set(seen, why, APR_HASH_KEY_STRING, "");
        for (k = i; k < found->offers->nelts; ++k) {
            const what_if_offer_t *offer = APR_ARRAY_IDX(found->offers, k, what_if_offer_t *);

            if (offer->tried.alert == first->tried.alert
                && !strcmp(offer->tried.reason, first->tried.reason)) {
                connections += offer->counts.connections;
                ++offers;
            }
        }
        printf("%12" APR_UINT64_T_FMT " %7d  %s\n", connections, offers, why);
    }
}

static int shown(int top, const apr_array_header_t *list)
{
    return top && top < list->nelts ? top : list->nelts;
}

static void print_more(int top, const apr_array_header_t *list)
{
    if (shown(top, list) < list->nelts) {
        printf("         and %d more: --top 0 shows them\n", list->nelts - shown(top, list));
    }
}

static void print_offers(apr_pool_t *p, const what_if_t *found, int top)
{
    int i;

    printf("\nOffers that would fail\n\n connections   clients  last seen            versions  "
           "ciphers  groups\n");
    for (i = 0; i < shown(top, found->offers); ++i) {
        const what_if_offer_t *offer = APR_ARRAY_IDX(found->offers, i, what_if_offer_t *);

        printf("%12" APR_UINT64_T_FMT " %9" APR_UINT64_T_FMT "  %-19s  %s\n",
               offer->counts.connections, offer->clients,
               tls_time_text(p, offer->offer.last_seen), offer_text(p, &offer->offer));
    }
    print_more(top, found->offers);
}

/* The greatest length of what the clients' rows show, or of the column's name */
static int width_of(apr_pool_t *p, const what_if_t *found, int top, const char *name,
                    const char *(*text)(apr_pool_t *p, const what_if_client_t *named))
{
    int width = (int)strlen(name), i;

    for (i = 0; i < shown(top, found->clients); ++i) {
        int len = (int)strlen(text(p, &APR_ARRAY_IDX(found->clients, i, what_if_client_t)));

        width = len > width ? len : width;
    }
    return width;
}

static const char *named_address(apr_pool_t *p, const what_if_client_t *named)
{
    return tls_address_text(p, &named->client);
}

static const char *named_for(apr_pool_t *p, const what_if_client_t *named)
{
    return tls_listed_for_text(p, &named->client);
}

static const char *named_reason(apr_pool_t *p, const what_if_client_t *named)
{
    return named->offer->tried.reason;
}

static void print_clients(apr_pool_t *p, const what_if_t *found, int top)
{
    int address = width_of(p, found, top, "client", named_address);
    int list = width_of(p, found, top, "for", named_for);
    int reason = width_of(p, found, top, "reason", named_reason), i;

    printf("\nClients that would fail, of those that are named\n\n connections  last seen         "
           "   %-*s  %-*s  %-*s  agent\n", address, "client", list, "for", reason, "reason");
    for (i = 0; i < shown(top, found->clients); ++i) {
        const what_if_client_t *named = &APR_ARRAY_IDX(found->clients, i, what_if_client_t);
        const char *agent = named->client.agent;

        printf("%12" APR_UINT64_T_FMT "  %-19s  %-*s  %-*s  %-*s  %s\n", named->client.count,
               tls_time_text(p, named->client.last_seen), address, named_address(p, named), list,
               named_for(p, named), reason, named_reason(p, named), *agent ? tls_harmless(p, agent, strlen(agent)) : "-");
    }
    print_more(top, found->clients);
    if (found->unknown) {
        printf("         and " COUNT " entries of named clients whose offer is not known any more\n",
               found->unknown);
    }
}

static void print_nothing(apr_pool_t *p, const what_if_t *found)
{
    printf("There is nothing to judge by: no offer is known of the %s.\nCounted since %s",
           tls_span_text(p, &found->span), tls_time_text(p, found->snapshot->begun));
    if (found->lost) {
        printf("; the offers of " COUNT " connections found no place in the table", found->lost);
    }
    puts(".");
}

void what_if_print(apr_pool_t *p, const what_if_t *found, int top)
{
    int i;

    for (i = 0; i < found->directives->nelts; ++i) {
        puts(ctl_harmless(p, APR_ARRAY_IDX(found->directives, i, const char *)));
    }
    for (i = 0; i < found->assumed->nelts; ++i) {
        puts(APR_ARRAY_IDX(found->assumed, i, const char *));
    }
    printf("with the offers of the %s (UTC), saved at %s\n\n", tls_span_text(p, &found->span),
           tls_time_text(p, found->snapshot->saved));
    if (!found->all.connections) {
        print_nothing(p, found);
        return;
    }
    print_sums(p, found);
    if (found->offers->nelts) {
        print_reasons(p, found);
        print_offers(p, found, top);
        print_clients(p, found, top);
    }
}

static void json_string(const char *name, const char *text)
{
    printf("\"%s\":", name);
    ctl_json_text(text, strlen(text));
}

static void json_names(apr_pool_t *p, const char *name, const apr_uint16_t *list, apr_size_t len,
                       const char *(*text)(apr_pool_t *p, apr_uint16_t number))
{
    apr_size_t i;

    printf(",\"%s\":[", name);
    for (i = 0; i < len; ++i) {
        const char *one = text(p, list[i]);

        fputs(i ? "," : "", stdout);
        ctl_json_text(one, strlen(one));
    }
    putchar(']');
}

static void json_texts(const char *name, const apr_array_header_t *texts)
{
    int i;

    printf("\"%s\":[", name);
    for (i = 0; i < texts->nelts; ++i) {
        const char *one = APR_ARRAY_IDX(texts, i, const char *);

        fputs(i ? "," : "", stdout);
        ctl_json_text(one, strlen(one));
    }
    fputs("],", stdout);
}

static void json_why(const tls_try_t *tried)
{
    printf("\"alert\":%d,", tried->alert);
    json_string("reason", tried->reason);
}

static void json_offer(apr_pool_t *p, const what_if_offer_t *offer)
{
    printf("{\"connections\":" COUNT ",\"failed\":" COUNT ",\"clients\":" COUNT
           ",\"last_seen\":%" APR_INT64_T_FMT ",", offer->counts.connections,
           offer->counts.failed, offer->clients, offer->offer.last_seen);
    json_why(&offer->tried);
    json_names(p, "versions", offer->offer.versions_len ? offer->offer.versions
                                                        : &offer->offer.legacy_version,
               offer->offer.versions_len ? offer->offer.versions_len : 1, tls_version_text);
    json_names(p, "ciphers", offer->offer.ciphers, offer->offer.ciphers_len, tls_cipher_text);
    json_names(p, "groups", offer->offer.groups, offer->offer.groups_len, tls_group_text);
    putchar('}');
}

static void json_client(apr_pool_t *p, const what_if_client_t *named)
{
    printf("{\"connections\":" COUNT ",\"over\":" COUNT ",\"failed\":" COUNT
           ",\"first_seen\":%" APR_INT64_T_FMT ",\"last_seen\":%" APR_INT64_T_FMT ",",
           named->client.count, named->client.over, named->client.failed,
           named->client.first_seen, named->client.last_seen);
    json_string("client", tls_address_text(p, &named->client));
    putchar(',');
    json_string("for", tls_listed_for_text(p, &named->client));
    putchar(',');
    json_string("agent", named->client.agent);
    putchar(',');
    json_why(&named->offer->tried);
    putchar('}');
}

void what_if_json(apr_pool_t *p, const what_if_t *found)
{
    int i;

    fputs("{", stdout);
    json_texts("directives", found->directives);
    json_texts("assumed", found->assumed);
    printf("\"days\":%d,\"begun\":%" APR_INT64_T_FMT ",\"saved\":%" APR_INT64_T_FMT ",\"connections\":{\"all\":" COUNT
           ",\"fail\":" COUNT ",\"failed_already\":" COUNT ",\"lost\":" COUNT ",\"cut\":" COUNT
           "},\"clients\":{\"all\":" COUNT ",\"fail\":" COUNT ",\"error_percent\":%.1f},\"offers\":[",
           (int)found->span.len, found->snapshot->begun, found->snapshot->saved, found->all.connections,
           found->fail.connections, found->fail.failed, found->lost, found->cut,
           found->clients_all, found->clients_fail, TLS_OFFER_ERROR);
    for (i = 0; i < found->offers->nelts; ++i) {
        fputs(i ? "," : "", stdout);
        json_offer(p, APR_ARRAY_IDX(found->offers, i, what_if_offer_t *));
    }
    fputs("],\"named\":[", stdout);
    for (i = 0; i < found->clients->nelts; ++i) {
        fputs(i ? "," : "", stdout);
        json_client(p, &APR_ARRAY_IDX(found->clients, i, what_if_client_t));
    }
    printf("],\"named_unknown\":" COUNT "}\n", found->unknown);
}
