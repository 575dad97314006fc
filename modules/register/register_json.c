/* Bodies of requests: which fields there are, of which kind, and within which bounds. */
#include "register_json.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "usher_duration.h"

/* {"labels":{...}} needs two. jansson would go down by 2048. */
#define DEPTH_MAX 4

/* A load of more than that says nothing more. */
#define LOAD_MAX 100.0

static int json_is_flat(const char *bytes, apr_size_t len)
{
    int depth = 0, in_text = 0;
    apr_size_t i;

    for (i = 0; i < len && depth <= DEPTH_MAX; ++i) {
        if (in_text && bytes[i] == '\\') {
            ++i; /* what follows ends no text */
        }
        else if (bytes[i] == '"') {
            in_text = !in_text;
        }
        else if (in_text) {
            continue;
        }
        else {
            depth += (bytes[i] == '{' || bytes[i] == '[') - (bytes[i] == '}' || bytes[i] == ']');
        }
    }
    return depth <= DEPTH_MAX;
}

json_t *register_json_object(const char *bytes, apr_size_t len)
{
    json_t *json = json_is_flat(bytes, len)
        ? json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* A text of printable ASCII without blanks, that fits. */
static int json_text(char *to, apr_size_t size, const json_t *value)
{
    const char *text = json_string_value(value);
    apr_size_t len = json_string_length(value), i;

    if (!text || len >= size) {
        return 0;
    }
    for (i = 0; i < len && apr_isgraph(text[i]) && !(text[i] & 0x80); ++i) {
    }
    memcpy(to, text, len + 1);
    return i == len;
}

/* Seconds, or a text as in directives. */
static int json_time(apr_uint32_t *ms, const json_t *value)
{
    apr_interval_time_t time;

    if (json_is_string(value)) {
        if (usher_duration_parse(&time, json_string_value(value), json_string_length(value))
            != APR_SUCCESS || time / 1000 > REGISTER_TIME_MAX) {
            return 0;
        }
        *ms = (apr_uint32_t)(time / 1000);
        return 1;
    }
    if (!json_is_number(value) || !(json_number_value(value) >= 0)
        || json_number_value(value) * 1000 > REGISTER_TIME_MAX) {
        return 0;
    }
    *ms = (apr_uint32_t)(json_number_value(value) * 1000 + 0.5);
    return 1;
}

int register_json_is_check(const char *text)
{
    return !*text || !strcmp(text, "tcp") || !strcmp(text, "cping")
           || (*text == '/' && !strchr(text, '#'));
}

int register_json_labels(char to[USHER_ROSTER_LABELS_SIZE], const json_t *labels)
{
    const char *name;
    const json_t *value;
    char *text;
    int fits;

    if (!json_is_object(labels)) {
        return 0;
    }
    json_object_foreach((json_t *)labels, name, value) {
        if (!*name || !json_is_string(value)) {
            return 0;
        }
    }
    text = json_object_size(labels) ? json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS)
                                    : strdup("");
    fits = text && strlen(text) < USHER_ROSTER_LABELS_SIZE;
    if (fits) {
        apr_cpystrn(to, text, USHER_ROSTER_LABELS_SIZE);
    }
    free(text);
    return fits;
}

static int read_url(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = json_is_string(value)
        ? register_url_parse(&ask->url, json_string_value(value), json_string_length(value))
        : "it is a text";
    return !*why;
}

static int read_weight(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is a whole number from 0 to 100";
    if (!json_is_integer(value) || json_integer_value(value) < 0
        || json_integer_value(value) > 100) {
        return 0;
    }
    ask->weight = (apr_uint32_t)json_integer_value(value);
    return 1;
}

static int read_lease(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is a number of seconds, or a text such as \"5m\"; at most a day";
    return json_time(&ask->lease, value);
}

static int read_deadline(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is a number of seconds, or a text such as \"5m\"; at most a day";
    return json_time(&ask->deadline, value);
}

static int read_check(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is \"tcp\", \"cping\", or a path such as \"/health\", of at most 127 bytes";
    return json_text(ask->check, sizeof(ask->check), value) && register_json_is_check(ask->check);
}

static int read_labels(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is an object whose values are texts, of at most 511 bytes";
    return register_json_labels(ask->labels, value);
}

static int read_secret(register_ask_t *ask, const json_t *value, const char **why)
{
    int fine = json_text(ask->secret, sizeof(ask->secret), value) && *ask->secret;

    *why = "is a text of 1 to 255 printable characters";
    if (json_is_string(value)) {
        OPENSSL_cleanse((char *)json_string_value(value), json_string_length(value));
    }
    return fine;
}

static int read_secret_name(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is a text of 1 to 63 printable characters";
    return json_text(ask->secret_name, sizeof(ask->secret_name), value) && *ask->secret_name;
}

static int read_load(register_ask_t *ask, const json_t *value, const char **why)
{
    *why = "is a number from 0 (idle) over 1 (busy) to 100";
    if (!json_is_number(value) || !(json_number_value(value) >= 0)
        || json_number_value(value) > LOAD_MAX) {
        return 0;
    }
    ask->load = (apr_int32_t)lround(json_number_value(value) * 100);
    return 1;
}

static const struct {
    const char *name;
    unsigned int bit;
    int (*read)(register_ask_t *ask, const json_t *value, const char **why);
} fields[] = {
    { "url", REGISTER_HAS_URL, read_url },
    { "weight", REGISTER_HAS_WEIGHT, read_weight },
    { "lease", REGISTER_HAS_LEASE, read_lease },
    { "check", REGISTER_HAS_CHECK, read_check },
    { "labels", REGISTER_HAS_LABELS, read_labels },
    { "secret", REGISTER_HAS_SECRET, read_secret },
    { "secret_name", REGISTER_HAS_SECRET_NAME, read_secret_name },
    { "load", REGISTER_HAS_LOAD, read_load },
    { "deadline", REGISTER_HAS_DEADLINE, read_deadline },
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static int json_field(register_ask_t *ask, unsigned int allowed, const char *name,
                      const json_t *value, register_wrong_t *wrong)
{
    const char *why = NULL;
    apr_size_t i;

    for (i = 0; i < FIELDS && strcmp(fields[i].name, name) != 0; ++i) {
    }
    wrong->code = "bad-value";
    if (i == FIELDS || !(fields[i].bit & allowed)) {
        apr_cpystrn(wrong->message, "there is a field that is not known here",
                    sizeof(wrong->message));
        return 0;
    }
    if (fields[i].read(ask, value, &why)) {
        ask->has |= fields[i].bit;
        return 1;
    }
    if (fields[i].bit == REGISTER_HAS_URL) {
        wrong->code = "bad-url";
        apr_snprintf(wrong->message, sizeof(wrong->message), "url is scheme, host and port, such as "
                     "ajp://10.0.0.5:8009: %s", why);
    }
    else {
        apr_snprintf(wrong->message, sizeof(wrong->message), "%s %s", name, why);
    }
    return 0;
}

int register_json_read(register_ask_t *ask, unsigned int allowed, const char *bytes,
                       apr_size_t len, register_wrong_t *wrong)
{
    json_t *json = len ? register_json_object(bytes, len) : json_object();
    const char *name;
    json_t *value;
    int fine = 1;

    memset(ask, 0, sizeof(*ask));
    if (!json) {
        wrong->code = "bad-json";
        apr_cpystrn(wrong->message, "the body is no JSON object, or has a field twice",
                    sizeof(wrong->message));
        return 0;
    }
    json_object_foreach(json, name, value) {
        fine = json_field(ask, allowed, name, value, wrong);
        if (!fine) {
            break;
        }
    }
    json_decref(json);
    return fine;
}
