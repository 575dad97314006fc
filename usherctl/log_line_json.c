/* The line of %{json}^US: one object. What it has inside of it is skipped. */
#include <stddef.h>

#include "log_line_private.h"

typedef enum { JSON_TEXT, JSON_NUMBER, JSON_COUNT, JSON_STATE, JSON_TIME } json_kind_e;

typedef struct {
    const char *name;
    apr_size_t len;
    json_kind_e kind;
    apr_size_t field;
    apr_int64_t max;
} json_key_t;

#define KEY(name, kind, field, max) { name, sizeof(name) - 1, kind, offsetof(log_line_t, field), max }

/* In the order in which they are written, so that the next one is mostly the one behind. */
static const json_key_t keys[] = {
    KEY("time", JSON_TIME, at, 0),
    KEY("client", JSON_TEXT, client, 0),
    KEY("method", JSON_TEXT, method, 0),
    KEY("uri", JSON_TEXT, uri, 0),
    KEY("request", JSON_TEXT, uri, 0),
    KEY("status", JSON_COUNT, status, 999),
    KEY("vhost", JSON_TEXT, vhost, 0),
    KEY("id", JSON_TEXT, id, 0),
    KEY("state", JSON_STATE, state, 0),
    KEY("cluster", JSON_TEXT, cluster, 0),
    KEY("member", JSON_TEXT, member, 0),
    KEY("tries", JSON_COUNT, tries, 1000000),
    KEY("replays", JSON_COUNT, replays, 1000000),
    KEY("read_us", JSON_NUMBER, times[LOG_TIME_READ], LOG_TIME_MAX),
    KEY("queue_us", JSON_NUMBER, times[LOG_TIME_QUEUE], LOG_TIME_MAX),
    KEY("connect_us", JSON_NUMBER, times[LOG_TIME_CONNECT], LOG_TIME_MAX),
    KEY("first_us", JSON_NUMBER, times[LOG_TIME_FIRST], LOG_TIME_MAX),
    KEY("total_us", JSON_NUMBER, times[LOG_TIME_TOTAL], LOG_TIME_MAX),
    KEY("bytes_in", JSON_NUMBER, bytes_in, APR_INT64_MAX),
    KEY("bytes_out", JSON_NUMBER, bytes_out, APR_INT64_MAX),
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static const json_key_t *json_key(log_text_t name, apr_size_t *next)
{
    apr_size_t i;

    for (i = 0; i < KEYS; ++i) {
        const json_key_t *key = &keys[(*next + i) % KEYS];

        if (key->len == name.len && !memcmp(key->name, name.at, name.len)) {
            *next = (apr_size_t)(key - keys) + 1;
            return key;
        }
    }
    return NULL;
}

static void json_blanks(log_rest_t *rest)
{
    while (rest->at < rest->end && (*rest->at == ' ' || *rest->at == '\t')) {
        ++rest->at;
    }
}

static int json_take(log_rest_t *rest, char c)
{
    json_blanks(rest);
    if (rest->at == rest->end || *rest->at != c) {
        return 0;
    }
    ++rest->at;
    return 1;
}

/* Brackets are counted, not told apart: nothing in there is looked at. */
static int json_skip(log_rest_t *rest)
{
    log_text_t text;
    int depth = 0;

    while (rest->at < rest->end) {
        char c = *rest->at;

        if (c == '"') {
            if (!log_quoted(rest, &text)) {
                return 0;
            }
            continue;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        ++rest->at;
        if (depth <= 0) {
            return depth == 0;
        }
    }
    return 0;
}

/* A number, true, false or null: its end is what follows it. */
static int json_bare(log_rest_t *rest, log_text_t *text)
{
    text->at = rest->at;
    while (rest->at < rest->end && *rest->at != ',' && *rest->at != '}' && *rest->at != ' ') {
        ++rest->at;
    }
    text->len = (apr_size_t)(rest->at - text->at);
    return text->len > 0 && rest->at < rest->end;
}

/* "2026-11-22T18:13:36.123456+00:00" or with Z */
static int json_time(log_line_t *line, log_text_t text)
{
    const char *at = text.at, *end = text.at + text.len;
    apr_int64_t seconds, scale = 100000;
    int date[6], zone = 0, i;

    if (text.len < 20 || at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':'
        || at[16] != ':') {
        return 0;
    }
    date[0] = log_digits(at, 4);
    for (i = 1; i < 6; ++i) {
        date[i] = log_digits(at + 2 + 3 * i, 2);
    }
    if (!log_civil(&seconds, date)) {
        return 0;
    }
    line->at = seconds * 1000000;
    at += 19;
    if (*at == '.') {
        for (++at; at < end && *at >= '0' && *at <= '9'; ++at, scale /= 10) {
            line->at += scale * (*at - '0');
        }
    }
    if (end - at == 6 && (*at == '+' || *at == '-') && at[3] == ':') {
        int hours = log_digits(at + 1, 2), minutes = log_digits(at + 4, 2);

        zone = (*at == '+' ? 1 : -1) * (60 * hours + minutes);
        line->at -= APR_INT64_C(60000000) * zone;
        line->zoned = 1;
        return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
    }
    line->zoned = 1;
    return end - at == 1 && *at == 'Z';
}

/* null is as if the member were not there. */
static int json_number(log_line_t *line, const json_key_t *key, log_text_t text)
{
    char *field = (char *)line + key->field;
    apr_int64_t number;

    if (text.len == 4 && !memcmp(text.at, "null", 4)) {
        return 1;
    }
    if (!log_number(&number, key->max, text)) {
        return 0;
    }
    if (key->kind == JSON_COUNT) {
        *(int *)(void *)field = (int)number;
    }
    else {
        *(apr_int64_t *)(void *)field = number;
    }
    return 1;
}

static int json_string(log_line_t *line, const json_key_t *key, log_text_t text)
{
    switch (key->kind) {
    case JSON_TEXT:
        *(log_text_t *)(void *)((char *)line + key->field) = log_known(text);
        return 1;
    case JSON_STATE:
        return log_state(line, text);
    case JSON_TIME:
        return json_time(line, text);
    default:
        return 0;
    }
}

static int json_value(log_line_t *line, const json_key_t *key, log_rest_t *rest)
{
    log_text_t text;

    json_blanks(rest);
    if (rest->at == rest->end) {
        return 0;
    }
    if (*rest->at == '"') {
        return log_quoted(rest, &text) && (!key || json_string(line, key, text));
    }
    if (*rest->at == '{' || *rest->at == '[') {
        return !key && json_skip(rest);
    }
    return json_bare(rest, &text)
           && (!key || (key->kind != JSON_NUMBER && key->kind != JSON_COUNT)
               || json_number(line, key, text));
}

static void json_begin(log_line_t *line)
{
    int i;

    line->kind = LOG_LINE_JSON;
    line->tries = line->replays = -1;
    line->bytes_in = line->bytes_out = -1;
    for (i = 0; i < LOG_TIMES; ++i) {
        line->times[i] = -1;
    }
}

int log_line_json(log_line_t *line, log_rest_t rest)
{
    apr_size_t next = 0;
    log_text_t name;

    json_begin(line);
    if (!json_take(&rest, '{')) {
        return 0;
    }
    do {
        json_blanks(&rest);
        if (!log_quoted(&rest, &name) || !json_take(&rest, ':')
            || !json_value(line, json_key(name, &next), &rest)) {
            return 0;
        }
    } while (json_take(&rest, ','));
    if (!json_take(&rest, '}') || !line->zoned || !line->state[0]) {
        return 0;
    }
    json_blanks(&rest);
    line->status = line->status < 100 ? 0 : line->status;
    return rest.at == rest.end;
}
