/* A line of a log: what it tells of TLS. */
#include <string.h>

#include "tls_line.h"

#define SSL_LEN 5 /* SSL:{ */

static const char *find(const char *at, const char *end, const char *what)
{
    return memmem(at, (apr_size_t)(end - at), what, strlen(what));
}

static const char *find_char(const char *at, const char *end, char c)
{
    return at < end ? memchr(at, c, (apr_size_t)(end - at)) : NULL;
}

int tls_line_next(const char *bytes, apr_size_t len, tls_text_t *found)
{
    const char *end = bytes + len, *brace = bytes, *close;

    while ((brace = find_char(brace, end, '{')) != NULL) {
        if (brace - bytes >= SSL_LEN - 1 && !memcmp(brace - (SSL_LEN - 1), "SSL:", SSL_LEN - 1)) {
            close = find_char(brace, end, '}');
            found->at = brace - (SSL_LEN - 1);
            found->len = close ? (apr_size_t)(close + 1 - found->at) : 0;
            return close != NULL;
        }
        ++brace;
    }
    return 0;
}

int tls_line_age(const tls_text_t *version)
{
    static const char *const names[] = { "SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" };
    int i;

    for (i = 0; i < (int)(sizeof(names) / sizeof(names[0])); ++i) {
        if (version->len == strlen(names[i]) && !memcmp(version->at, names[i], version->len)) {
            return i;
        }
    }
    return version->len == 7 && !memcmp(version->at, "TLSv1.0", 7) ? 2 : -1;
}

/* Where strings in quotes are: those of a line of httpd are request, referer, user agent. */
#define QUOTES 3
typedef struct {
    tls_text_t strings[QUOTES];
    int count;
    const char *behind; /* the last one of the line */
} quotes_t;

/* The end of a string, which may have \" in it. */
static const char *string_end(const char *at, const char *end)
{
    const char *quote = at, *slash;

    while ((quote = find_char(quote, end, '"')) != NULL) {
        for (slash = quote; slash > at && slash[-1] == '\\'; --slash) {
        }
        if ((quote - slash) % 2 == 0) {
            return quote;
        }
        ++quote;
    }
    return NULL;
}

/* The last SSL:{} of some bytes */
static void last_ssl(tls_text_t *last, const char *at, const char *end)
{
    tls_text_t found;

    while (tls_line_next(at, (apr_size_t)(end - at), &found)) {
        *last = found;
        at = found.at + found.len;
    }
}

static int text_ssl(tls_text_t *ssl, quotes_t *quotes, const char *bytes, const char *end)
{
    const char *at = bytes, *open, *close;

    ssl->len = 0;
    quotes->count = 0;
    while ((open = find_char(at, end, '"')) != NULL) {
        last_ssl(ssl, at, open);
        close = string_end(open + 1, end);
        if (!close) {
            at = open;
            break;
        }
        if (quotes->count < QUOTES) {
            quotes->strings[quotes->count].at = open + 1;
            quotes->strings[quotes->count].len = (apr_size_t)(close - open - 1);
        }
        ++quotes->count;
        at = close + 1;
    }
    quotes->behind = at;
    last_ssl(ssl, at, end);
    if (!ssl->len) {
        last_ssl(ssl, bytes, end);
    }
    return ssl->len > 0;
}

/* What is between the braces: "TLSv1.2,ECDHE-RSA-AES128-GCM-SHA256" */
static void ssl_parts(tls_line_t *line, const char *from, const char *end)
{
    tls_text_t *version = &line->texts[TLS_LINE_VERSION], *cipher = &line->texts[TLS_LINE_CIPHER];
    const char *comma = find_char(from, end, ',');

    version->at = from;
    version->len = (apr_size_t)((comma ? comma : end) - from);
    cipher->at = comma ? comma + 1 : end;
    cipher->len = (apr_size_t)(end - cipher->at);
}

/* The first of "TLSv1.3,TLSv1.2" */
static void cut_list(tls_text_t *text)
{
    const char *comma = find_char(text->at, text->at + text->len, ',');

    text->len = comma ? (apr_size_t)(comma - text->at) : text->len;
}

/* Up to the next blank */
static tls_text_t word(const char *at, const char *end)
{
    const char *blank = find_char(at, end, ' ');
    tls_text_t text = { at, (apr_size_t)((blank ? blank : end) - at) };

    return text;
}

/* The word that ends before a blank; @return what is in front of it */
static const char *word_before(const char *start, const char *blank, tls_text_t *text)
{
    const char *at = blank;

    while (at > start && at[-1] != ' ') {
        --at;
    }
    text->at = at;
    text->len = (apr_size_t)(blank - at);
    return at > start ? at - 1 : start;
}

/* Takes the port from ADDRESS:PORT. @return 0: it has none */
static int cut_port(tls_text_t *text)
{
    apr_size_t len = text->len;

    while (len && text->at[len - 1] >= '0' && text->at[len - 1] <= '9') {
        --len;
    }
    if (len < 2 || len == text->len || text->at[len - 1] != ':') {
        return 0;
    }
    text->len = len - 1;
    if (*text->at == '[' && text->at[text->len - 1] == ']') {
        ++text->at;
        text->len -= 2;
    }
    return 1;
}

/* What begins a line of no form that is known, if it is an address; of IPv6 the port, if there
 * is one, cannot be told. */
static tls_text_t client_first(const char *bytes, const char *end)
{
    tls_text_t first = word(bytes, end);
    apr_size_t i, colons = 0, dots = 0;

    for (i = 0; i < first.len && strchr("0123456789abcdefABCDEF.:", first.at[i]); ++i) {
        colons += first.at[i] == ':';
        dots += first.at[i] == '.';
    }
    if (i < first.len || colons + dots < 2) {
        first.len = 0;
    }
    else if (colons == 1) {
        cut_port(&first);
    }
    return first;
}

/* Whether "- " stands there: what httpd writes behind the client. */
static int is_dash(const char *at, const char *end)
{
    return end - at > 1 && at[0] == '-' && at[1] == ' ';
}

/* CLIENT - USER [date] of httpd, perhaps with something in front of it; CLIENT:PORT [date] of
 * HAProxy. A user's name may have anything in it, also blanks and what looks as a client. */
static tls_text_t client_before(const char *bytes, const char *bracket)
{
    tls_text_t first = word(bytes, bracket), user, dash, client;
    const char *before;

    if (is_dash(first.at + first.len + 1, bracket)) {
        return first;
    }
    before = word_before(bytes, bracket > bytes ? bracket - 1 : bracket, &user);
    before = word_before(bytes, before, &dash);
    word_before(bytes, before, &client);
    if (is_dash(dash.at, bracket) && client.len) {
        return client;
    }
    return cut_port(&user) ? user : client_first(bytes, bracket);
}

/* [date] CLIENT:PORT of the handshake log */
static tls_text_t client_behind(const char *bracket, const char *end)
{
    const char *close = find_char(bracket, end, ']');
    tls_text_t client = word(close && end - close > 2 ? close + 2 : end, end);

    cut_port(&client);
    return client;
}

/* The date in brackets, before any quote; what is in front of it is syslog's. */
static const char *text_date(tls_line_t *line, const char *bytes, const char *end)
{
    const char *at = bytes;

    while ((at = find_char(at, end, '[')) != NULL) {
        line->time = tls_line_date(at + 1, end);
        if (line->time) {
            return at;
        }
        ++at;
    }
    return NULL;
}

/* The value of "vhost=" */
static void text_key(tls_text_t *text, const char *at, const char *end, const char *key)
{
    const char *found = find(at, end, key);

    if (found) {
        *text = word(found + strlen(key), end);
    }
}

/* "curl/8.1" */
static int is_agent(const char *at, const char *end)
{
    const char *from = at;

    while (at < end && ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')
                        || (*at >= '0' && *at <= '9') || *at == '-' || *at == '_')) {
        ++at;
    }
    return at > from && end - at > 1 && at[0] == '/' && at[1] >= '0' && at[1] <= '9';
}

/* The captured header that looks as a user agent does: "{www.example.com|curl/8.1}" */
static void text_capture(tls_text_t *agent, const char *at, const char *end)
{
    const char *open, *close, *bar;

    while ((open = find_char(at, end, '{')) != NULL
           && (close = find_char(open, end, '}')) != NULL) {
        for (at = open + 1; at <= close; at = bar + 1) {
            bar = find_char(at, close, '|');
            bar = bar ? bar : close;
            if (is_agent(at, bar)) {
                agent->at = at;
                agent->len = (apr_size_t)(bar - at);
                return;
            }
        }
    }
}

/* A line of httpd has three strings or more, and one of HAProxy one. */
static void text_access(tls_line_t *line, const quotes_t *quotes, const char *date,
                        const char *end)
{
    const char *first = quotes->count ? quotes->strings[0].at : end;
    const char *close = find_char(date, first, ']');
    tls_text_t *vhost = &line->texts[TLS_LINE_VHOST];

    if (quotes->count >= QUOTES) {
        line->texts[TLS_LINE_AGENT] = quotes->strings[2];
        text_key(vhost, quotes->behind, end, " vhost=");
    }
    else if (close && first - close > 2) {
        *vhost = word(close + 2, first);
        vhost->len -= vhost->len && vhost->at[vhost->len - 1] == '~';
        text_capture(&line->texts[TLS_LINE_AGENT], close, first);
    }
}

static void text_handshake(tls_line_t *line, const char *bytes, const char *end)
{
    line->texts[TLS_LINE_CLIENT] = client_behind(bytes, end);
    text_key(&line->texts[TLS_LINE_VHOST], bytes, end, " vhost=");
    text_key(&line->texts[TLS_LINE_OUTCOME], bytes, end, " outcome=");
    text_key(&line->texts[TLS_LINE_OFFERED], bytes, end, " versions=");
    cut_list(&line->texts[TLS_LINE_OFFERED]);
}

static int text_read(tls_line_t *line, const char *bytes, const char *end)
{
    const char *date;
    tls_text_t ssl;
    quotes_t quotes;

    if (!text_ssl(&ssl, &quotes, bytes, end)) {
        return 0;
    }
    ssl_parts(line, ssl.at + SSL_LEN, ssl.at + ssl.len - 1);
    date = text_date(line, bytes, quotes.count ? quotes.strings[0].at : end);
    if (date == bytes) {
        text_handshake(line, bytes, end);
    }
    else {
        line->texts[TLS_LINE_CLIENT] = date ? client_before(bytes, date)
                                            : client_first(bytes, end);
        text_access(line, &quotes, date ? date : end, end);
    }
    return 1;
}

/* The string that a key of JSON has. In strings quotes have a backslash: what looks as a key
 * is one. */
static void json_text(tls_text_t *text, const char *bytes, const char *end, const char *key)
{
    const char *at = find(bytes, end, key), *close;

    if (!at) {
        return;
    }
    at += strlen(key);
    close = at < end && *at == '"' ? string_end(at + 1, end) : NULL;
    if (close) {
        text->at = at + 1;
        text->len = (apr_size_t)(close - text->at);
    }
}

static int json_read(tls_line_t *line, const char *bytes, const char *end)
{
    static const char *const keys[TLS_LINE_TEXTS] = {
        [TLS_LINE_VERSION] = "\"tls_version\":", [TLS_LINE_CIPHER] = "\"tls_cipher\":",
        [TLS_LINE_CLIENT] = "\"client\":",       [TLS_LINE_AGENT] = "\"agent\":",
        [TLS_LINE_VHOST] = "\"vhost\":",         [TLS_LINE_OUTCOME] = "\"outcome\":",
        [TLS_LINE_OFFERED] = "\"versions\":",
    };
    tls_text_t time = { bytes, 0 }, ssl = { bytes, 0 };
    int i;

    for (i = 0; i < TLS_LINE_TEXTS; ++i) {
        json_text(&line->texts[i], bytes, end, keys[i]);
    }
    json_text(&time, bytes, end, "\"time\":");
    line->time = tls_line_rfc3339(time.at, time.at + time.len);
    cut_list(&line->texts[TLS_LINE_OFFERED]);
    /* The handshake log has it in one: "{TLSv1.3,TLS_AES_256_GCM_SHA384}" */
    json_text(&ssl, bytes, end, "\"SSL\":");
    if (ssl.len > 2 && *ssl.at == '{') {
        ssl_parts(line, ssl.at + 1, ssl.at + ssl.len - 1);
    }
    return line->texts[TLS_LINE_VERSION].len || line->texts[TLS_LINE_OUTCOME].len;
}

/* Usher's JSON leaves out what there was not. */
static int json_is_request(const tls_line_t *line)
{
    return line->time && line->texts[TLS_LINE_CLIENT].len;
}

int tls_line_is_plain(const tls_line_t *line)
{
    const tls_text_t *version = &line->texts[TLS_LINE_VERSION];

    return !line->texts[TLS_LINE_OUTCOME].len
           && (!version->len || (version->len == 1 && *version->at == '-'));
}

int tls_line_read(tls_line_t *line, const char *bytes, apr_size_t len)
{
    int is_json = len && *bytes == '{', i;

    for (i = 0; i < TLS_LINE_TEXTS; ++i) {
        line->texts[i].at = bytes;
        line->texts[i].len = 0;
    }
    line->time = 0;
    return (is_json && json_read(line, bytes, bytes + len)) || text_read(line, bytes, bytes + len)
           || (is_json && json_is_request(line));
}
