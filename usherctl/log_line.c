/* Which kind of line it is, and what all kinds have in common. */
#include "log_line_private.h"
#include "usher_number.h"

int log_digits(const char *at, int count)
{
    int number = 0;

    for (; count > 0; --count, ++at) {
        if (*at < '0' || *at > '9') {
            return -1;
        }
        number = 10 * number + (*at - '0');
    }
    return number;
}

int log_number(apr_int64_t *number, apr_int64_t max, log_text_t text)
{
    apr_uint64_t value;

    if (text.len && *text.at == '-' && (text.len == 1 || (text.len == 2 && text.at[1] == '1'))) {
        *number = -1;
        return 1;
    }
    if (!text.len || usher_number_parse(&value, (apr_uint64_t)max, text.at, text.len) != text.len) {
        return 0;
    }
    *number = (apr_int64_t)value;
    return 1;
}

int log_slashed(apr_int64_t *numbers, int count, apr_int64_t max, log_text_t word)
{
    const char *at = word.at, *end = word.at + word.len;

    for (; count > 0; --count, ++numbers) {
        const char *slash = count > 1 ? memchr(at, '/', (apr_size_t)(end - at)) : end;
        log_text_t text = { at, slash ? (apr_size_t)(slash - at) : 0 };

        /* HAProxy's sign for what went on when the line was written */
        if (text.len > 1 && *at == '+') {
            ++text.at;
            --text.len;
        }
        if (!slash || !log_number(numbers, max, text)) {
            return 0;
        }
        at = slash + 1;
    }
    return 1;
}

int log_quoted(log_rest_t *rest, log_text_t *text)
{
    const char *from = rest->at + 1, *end = from;

    if (rest->at == rest->end || *rest->at != '"') {
        return 0;
    }
    while ((end = memchr(end, '"', (apr_size_t)(rest->end - end))) != NULL) {
        const char *slash = end;

        while (slash > from && slash[-1] == '\\') {
            --slash;
        }
        if ((end - slash) % 2 == 0) {
            text->at = from;
            text->len = (apr_size_t)(end - from);
            rest->at = end + 1;
            return 1;
        }
        ++end;
    }
    return 0;
}

void log_request(log_line_t *line, log_text_t request)
{
    log_rest_t rest = { request.at, request.at + request.len };

    if (!log_word(&rest, &line->method) || !log_word(&rest, &line->uri)) {
        line->method.len = 0;
        line->uri = request;
    }
}

int log_state(log_line_t *line, log_text_t text)
{
    apr_size_t i;

    if (!text.len || text.len > LOG_STATE_SIZE) {
        return 0;
    }
    memset(line->state, '-', LOG_STATE_SIZE);
    for (i = 0; i < text.len; ++i) {
        char c = text.at[i];

        if (c != '-' && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z')) {
            return 0;
        }
        line->state[i] = c;
    }
    return 1;
}

/* Days are counted from the first of March, so that a leap day is a year's last. */
int log_civil(apr_int64_t *seconds, const int date[6])
{
    static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year = date[0], month = date[1], day = date[2];
    apr_int64_t days;

    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1]
        || date[3] < 0 || date[3] > 23 || date[4] < 0 || date[4] > 59 || date[5] < 0
        || date[5] > 60) {
        return 0;
    }
    year -= month < 3;
    days = 365 * year + year / 4 - year / 100 + year / 400
           + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
    *seconds = ((days * 24 + date[3]) * 60 + date[4]) * 60 + date[5];
    return 1;
}

/* "22/Nov/2026:18:13:36" */
static int line_date(apr_int64_t *seconds, const char *at)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int date[6], i;

    if (at[2] != '/' || at[6] != '/' || at[11] != ':' || at[14] != ':' || at[17] != ':') {
        return 0;
    }
    for (i = 0; i < 12 && memcmp(at + 3, months + 3 * i, 3); ++i) {
    }
    date[0] = log_digits(at + 7, 4);
    date[1] = i + 1;
    date[2] = log_digits(at, 2);
    date[3] = log_digits(at + 12, 2);
    date[4] = log_digits(at + 15, 2);
    date[5] = log_digits(at + 18, 2);
    return log_civil(seconds, date);
}

/* The word that ends before a space; @return where it begins */
static const char *line_word_before(const char *start, const char *space, log_text_t *word)
{
    const char *at = space;

    while (at > start && at[-1] != ' ') {
        --at;
    }
    word->at = at;
    word->len = (apr_size_t)(space - at);
    return at;
}

/* CLIENT - USER [... or CLIENT:PORT [...: @return 0: nothing stands there */
static int line_client(log_line_t *line, const char *start, const char *bracket, int words)
{
    log_text_t word = { bracket, 0 };

    do {
        if (word.at == start || word.at[-1] != ' ') {
            return 0;
        }
        line_word_before(start, word.at - 1, &word);
    } while (--words > 0);
    line->client = word;
    return word.len > 0;
}

/* The first quote that is not escaped; the end where there is none. */
static const char *line_quote(const char *at, const char *end)
{
    const char *quote = at;

    while ((quote = memchr(quote, '"', (apr_size_t)(end - quote))) != NULL) {
        if (quote > at && quote[-1] != '\\') {
            return quote;
        }
        ++quote;
    }
    return end;
}

/* A date in brackets that no client can have written: behind the first date of a line, what
 * is in quotes is its client's. What is in front of it is syslog's. */
static int line_dated(log_line_t *line, const char *bytes, apr_size_t len)
{
    const char *end = bytes + len, *limit = NULL, *at = bytes;
    apr_int64_t seconds;

    while ((at = memchr(at, '[', (apr_size_t)((limit ? limit : end) - at))) != NULL) {
        log_rest_t rest = { at + 1 + LOG_DATE_LEN, end };
        const char *bracket = at++;

        if (end - bracket <= 1 + LOG_DATE_LEN || !line_date(&seconds, bracket + 1)) {
            continue;
        }
        line->at = seconds * 1000000;
        if (*rest.at == '.' ? line_client(line, bytes, bracket, 1) && log_line_httplog(line, rest)
                            : line_client(line, bytes, bracket, 3) && log_line_usher(line, rest)) {
            return 1;
        }
        limit = limit ? limit : line_quote(at, end);
    }
    return 0;
}

usher_parse_e log_line_parse(log_line_t *line, const char *bytes, apr_size_t len)
{
    const char *brace = len ? memchr(bytes, '{', len) : NULL;
    log_rest_t rest = { brace, bytes + len };

    memset(line, 0, sizeof(*line));
    if (!(brace && brace == bytes) && len && line_dated(line, bytes, len)) {
        return USHER_PARSE_DONE;
    }
    if (brace && (brace == bytes || brace[-1] == ' ') && log_line_json(line, rest)) {
        return USHER_PARSE_DONE;
    }
    return USHER_PARSE_BAD;
}

log_text_t log_line_path(const log_line_t *line)
{
    log_text_t path = line->uri;
    const char *query = path.len ? memchr(path.at, '?', path.len) : NULL;

    if (query) {
        path.len = (apr_size_t)(query - path.at);
    }
    return path;
}
