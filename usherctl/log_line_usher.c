/* The line of %{usher}^US: the combined line, and key=value behind it. */
#include "log_line_private.h"

#define TRIES_MAX 1000000

/* " +0000] " @return 0: it is not that */
static int usher_zone(log_line_t *line, log_rest_t *rest)
{
    int hours, minutes, sign;

    if (rest->end - rest->at < 8 || rest->at[0] != ' ' || rest->at[6] != ']' || rest->at[7] != ' ') {
        return 0;
    }
    sign = rest->at[1] == '+' ? 1 : rest->at[1] == '-' ? -1 : 0;
    hours = log_digits(rest->at + 2, 2);
    minutes = log_digits(rest->at + 4, 2);
    if (!sign || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return 0;
    }
    line->at -= APR_INT64_C(60000000) * sign * (60 * hours + minutes);
    line->zoned = 1;
    rest->at += 8;
    return 1;
}

/* `"REQUEST" STATUS BYTES "REFERER" "USER-AGENT" ' */
static int usher_combined(log_line_t *line, log_rest_t *rest)
{
    log_text_t request, status, bytes, said;
    apr_int64_t number;

    if (!log_quoted(rest, &request) || rest->at == rest->end || *rest->at++ != ' '
        || !log_word(rest, &status) || !log_word(rest, &bytes)
        || !log_number(&number, 999, status)) {
        return 0;
    }
    line->status = number < 100 ? 0 : (int)number;
    log_request(line, request);
    return log_number(&line->bytes_out, APR_INT64_MAX, bytes) && log_quoted(rest, &said)
           && rest->at < rest->end && *rest->at++ == ' ' && log_quoted(rest, &said)
           && rest->at < rest->end && *rest->at++ == ' ';
}

typedef enum {
    KEY_VHOST = 1,
    KEY_ID,
    KEY_STATE,
    KEY_CLUSTER,
    KEY_MEMBER,
    KEY_TRIES,
    KEY_TIMES,
    KEY_BYTES
} usher_key_e;

static int usher_key(const char *name, apr_size_t len)
{
    static const struct {
        const char *name;
        apr_size_t len;
    } keys[] = { { "vhost", 5 },  { "id", 2 },    { "state", 5 }, { "cluster", 7 },
                 { "member", 6 }, { "tries", 5 }, { "times", 5 }, { "bytes", 5 } };
    int i;

    for (i = 0; i < (int)(sizeof(keys) / sizeof(keys[0])); ++i) {
        if (keys[i].len == len && !memcmp(keys[i].name, name, len)) {
            return i + 1;
        }
    }
    return 0;
}

static int usher_tries(log_line_t *line, log_text_t value)
{
    apr_int64_t tries[2];

    if (!log_slashed(tries, 2, TRIES_MAX, value)) {
        return 0;
    }
    line->tries = (int)tries[0];
    line->replays = (int)tries[1];
    return 1;
}

/* A byte count of -1 leaves what the combined line has said. */
static int usher_bytes(log_line_t *line, log_text_t value)
{
    apr_int64_t bytes[2];

    if (!log_slashed(bytes, 2, APR_INT64_MAX, value)) {
        return 0;
    }
    line->bytes_in = bytes[0];
    line->bytes_out = bytes[1] < 0 ? line->bytes_out : bytes[1];
    return 1;
}

static int usher_value(log_line_t *line, int key, log_text_t value)
{
    switch (key) {
    case KEY_VHOST:
        line->vhost = log_known(value);
        return 1;
    case KEY_ID:
        line->id = log_known(value);
        return 1;
    case KEY_STATE:
        return log_state(line, value);
    case KEY_CLUSTER:
        line->cluster = log_known(value);
        return 1;
    case KEY_MEMBER:
        line->member = log_known(value);
        return 1;
    case KEY_TRIES:
        return usher_tries(line, value);
    case KEY_TIMES:
        return log_slashed(line->times, LOG_TIMES, LOG_TIME_MAX, value);
    case KEY_BYTES:
        return usher_bytes(line, value);
    default:
        return 1;
    }
}

/* A word counts only with the space behind it, and others follow those looked for: so a
 * line that was cut off is never taken for one with smaller numbers. */
int log_line_usher(log_line_t *line, log_rest_t rest)
{
    unsigned int seen = 0, wanted = 1u << KEY_STATE | 1u << KEY_TIMES | 1u << KEY_BYTES;
    log_text_t word;

    line->kind = LOG_LINE_USHER;
    line->tries = line->replays = -1;
    line->bytes_in = -1;
    if (!usher_zone(line, &rest) || !usher_combined(line, &rest)) {
        return 0;
    }
    while (log_word(&rest, &word)) {
        const char *equals = memchr(word.at, '=', word.len);
        apr_size_t len = equals ? (apr_size_t)(equals - word.at) : word.len;
        int key = equals ? usher_key(word.at, len) : 0;
        log_text_t value = { word.at + len + 1, equals ? word.len - len - 1 : 0 };

        if (!usher_value(line, key, value)) {
            return 0;
        }
        seen |= 1u << key;
    }
    return (seen & wanted) == wanted;
}
