/* A line of the handshake log, as text or as JSON, with the same names in the same order.
 * What the client chose is escaped; what is not known is "-". */
#include <httpd.h>
#include <util_time.h>

#include "tls_private.h"
#include "usher_logtext.h"

/* Longer names than DNS has are cut, and so is what is listed where a line would become
 * longer than it may: nobody but who tries offers so much. */
#define NAME_MAX_LEN 255
#define NAME_CUT     32
#define LIST_CUT     24

typedef struct line_t {
    usher_logtext_t to;
    int json;
    apr_size_t name_max;
    int list_max;
} line_t;

static void line_key(line_t *line, const char *key)
{
    usher_logtext_t *to = &line->to;

    usher_logtext_put(to, line->json ? ",\"" : " ", line->json ? 2 : 1);
    usher_logtext_put(to, key, strlen(key));
    usher_logtext_put(to, line->json ? "\":" : "=", line->json ? 2 : 1);
}

static void line_quote(line_t *line)
{
    if (line->json) {
        usher_logtext_char(&line->to, '"');
    }
}

/* A word by us, that needs no escape. */
static void line_word(line_t *line, const char *word)
{
    usher_logtext_put(&line->to, word, strlen(word));
}

static void line_text(line_t *line, const char *key, const char *text)
{
    apr_size_t len = strlen(text);

    line_key(line, key);
    if (!len) {
        text = "-";
        len = 1;
    }
    len = len < line->name_max ? len : line->name_max;
    if (line->json) {
        usher_logtext_json(&line->to, text, len);
    }
    else {
        usher_logtext_escape(&line->to, text, len, USHER_LOGTEXT_BARE);
    }
}

static void line_number(line_t *line, const char *key, apr_int64_t number)
{
    line_key(line, key);
    usher_logtext_number(&line->to, number);
}

/* "sent:40:handshake_failure" */
static void line_alert(line_t *line, const usher_tls_facts_t *facts)
{
    const char *name = usher_tls_alert_name(facts->alert);

    line_key(line, "alert");
    line_quote(line);
    if (facts->alert_from) {
        line_word(line, facts->alert_from == 's' ? "sent:" : "received:");
        usher_logtext_number(&line->to, facts->alert);
        line_word(line, ":");
        line_word(line, name ? name : "unknown");
    }
    else {
        line_word(line, "-");
    }
    line_quote(line);
}

/* "SSL:{TLSv1.3,TLS_AES_256_GCM_SHA384}", as HAProxy's users have it in their logs */
static void line_ssl(line_t *line, const usher_tls_facts_t *facts)
{
    line_word(line, line->json ? ",\"SSL\":\"{" : " SSL:{");
    line_word(line, *facts->version_name ? facts->version_name : "-");
    line_word(line, ",");
    line_word(line, *facts->cipher_name ? facts->cipher_name : "-");
    line_word(line, "}");
    line_quote(line);
}

static void line_hex(line_t *line, apr_uint16_t number)
{
    static const char hex[] = "0123456789abcdef";
    int shift;

    for (shift = 12; shift >= 0; shift -= 4) {
        usher_logtext_char(&line->to, hex[number >> shift & 15]);
    }
}

/* Numbers in the client's order, by their names or in hexadecimal digits. "..." ends a list
 * that is longer.
 * @param name  NULL: there are none  @param max  of which so many are kept */
static void line_list(line_t *line, const char *key, const apr_uint16_t *numbers, int all, int max,
                      const char *(*name)(apr_uint16_t))
{
    int i, len = all < max ? all : max;

    len = len < line->list_max ? len : line->list_max;
    line_key(line, key);
    line_quote(line);
    for (i = 0; i < len; ++i) {
        const char *known = name ? name(numbers[i]) : NULL;

        if (i) {
            line_word(line, ",");
        }
        if (known) {
            line_word(line, known);
        }
        else {
            line_hex(line, numbers[i]);
        }
    }
    line_word(line, !all ? "-" : len < all ? ",..." : "");
    line_quote(line);
}

static void line_offer(line_t *line, const usher_hello_t *hello)
{
    static const usher_hello_t none;
    const usher_hello_t *h = hello ? hello : &none;

    if (hello && !h->versions_all) {
        line_list(line, "versions", &h->legacy_version, 1, 1, usher_tls_version_name);
    }
    else {
        line_list(line, "versions", h->versions, h->versions_all, USHER_HELLO_VERSIONS_MAX,
                  usher_tls_version_name);
    }
    line_list(line, "ciphers", h->ciphers, h->ciphers_all, USHER_HELLO_CIPHERS_MAX, NULL);
    line_list(line, "groups", h->groups, h->groups_all, USHER_HELLO_GROUPS_MAX,
              usher_tls_group_name);
}

/* Local time: "22/Nov/2026:18:13:36.123456 +0000", or "2026-11-22T18:13:36.123456+00:00". */
static void line_time(line_t *line, apr_time_t now)
{
    usher_logtext_t *to = &line->to;
    apr_time_exp_t at;
    int zone;

    ap_explode_recent_localtime(&at, now);
    zone = (at.tm_gmtoff < 0 ? -at.tm_gmtoff : at.tm_gmtoff) / 60;
    if (line->json) {
        usher_logtext_padded(to, (apr_uint64_t)at.tm_year + 1900, 4);
        usher_logtext_char(to, '-');
        usher_logtext_padded(to, (apr_uint64_t)at.tm_mon + 1, 2);
        usher_logtext_char(to, '-');
        usher_logtext_padded(to, (apr_uint64_t)at.tm_mday, 2);
    }
    else {
        usher_logtext_padded(to, (apr_uint64_t)at.tm_mday, 2);
        usher_logtext_char(to, '/');
        line_word(line, apr_month_snames[at.tm_mon]);
        usher_logtext_char(to, '/');
        usher_logtext_padded(to, (apr_uint64_t)at.tm_year + 1900, 4);
    }
    usher_logtext_char(to, line->json ? 'T' : ':');
    usher_logtext_padded(to, (apr_uint64_t)at.tm_hour, 2);
    usher_logtext_char(to, ':');
    usher_logtext_padded(to, (apr_uint64_t)at.tm_min, 2);
    usher_logtext_char(to, ':');
    usher_logtext_padded(to, (apr_uint64_t)at.tm_sec, 2);
    usher_logtext_char(to, '.');
    usher_logtext_padded(to, (apr_uint64_t)at.tm_usec, 6);
    line_word(line, line->json ? "" : " ");
    usher_logtext_char(to, at.tm_gmtoff < 0 ? '-' : '+');
    usher_logtext_padded(to, (apr_uint64_t)zone / 60, 2);
    line_word(line, line->json ? ":" : "");
    usher_logtext_padded(to, (apr_uint64_t)zone % 60, 2);
}

/* When, from where and to which port. */
static void line_head(line_t *line, const conn_rec *c)
{
    line_word(line, line->json ? "{\"time\":\"" : "[");
    line_time(line, apr_time_now());
    line_word(line, line->json ? "\"" : "] ");
    if (line->json) {
        line_text(line, "client", c->client_ip);
        line_number(line, "client_port", c->client_addr->port);
        line_number(line, "port", c->local_addr->port);
    }
    else {
        line_word(line, c->client_ip);
        usher_logtext_char(&line->to, ':');
        usher_logtext_number(&line->to, c->client_addr->port);
        usher_logtext_char(&line->to, ' ');
        usher_logtext_number(&line->to, c->local_addr->port);
    }
}

static void line_reason(line_t *line, const char *reason)
{
    line_key(line, "reason");
    if (line->json) {
        usher_logtext_json(&line->to, reason, strlen(reason));
    }
    else {
        usher_logtext_char(&line->to, '"');
        usher_logtext_escape(&line->to, reason, strlen(reason), USHER_LOGTEXT_QUOTED);
        usher_logtext_char(&line->to, '"');
    }
}

static void line_write(line_t *line, tls_record_t *record)
{
    const usher_tls_facts_t *facts = &record->facts;
    apr_pool_t *p = record->c->pool;
    const char *host = facts->server->server_hostname;

    line_head(line, record->c);
    line_text(line, "vhost", host ? host : "");
    line_text(line, "outcome", usher_tls_outcome_name(facts->outcome));
    line_alert(line, facts);
    line_ssl(line, facts);
    line_text(line, "group", facts->group);
    line_text(line, "sigalg", facts->sigalg);
    line_text(line, "sni", facts->sni);
    line_text(line, "alpn", facts->alpn);
    line_number(line, "resumed", facts->resumed);
    line_number(line, "early", facts->early_data);
    line_number(line, "cert", facts->client_cert);
    line_number(line, "took", facts->took);
    line_text(line, "ja4", tls_record_ja4(record, p));
    line_offer(line, facts->hello);
    line_reason(line, tls_reason_text(record, p));
    line_word(line, line->json ? "}\n" : "\n");
}

apr_size_t tls_line_put(char text[TLS_LINE_SIZE], tls_record_t *record, int json)
{
    line_t line = { { text, TLS_LINE_SIZE, 0 }, json, NAME_MAX_LEN, USHER_HELLO_CIPHERS_MAX };

    line_write(&line, record);
    if (line.to.len > line.to.size) {
        line.to.len = 0;
        line.name_max = NAME_CUT;
        line.list_max = LIST_CUT;
        line_write(&line, record);
    }
    return line.to.len;
}
