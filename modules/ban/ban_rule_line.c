/* UsherBanRule: what a line says. */
#include "ban_rule_line.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "usher_crc64.h"
#include "usher_number.h"
#include "usher_options.h"
#include "usher_size.h"

#define MS APR_TIME_C(1000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define EVENTS_MAX 1000000000

/* In the order of ban_on_e. */
static const char *const kinds[] = { "request", "handshake", "register", "auth", "rate", "bytes", NULL };
static const char *const modes[] = { "log", "enforce", NULL };

#define FIELD(f) APR_OFFSETOF(ban_rule_line_t, f)
#define LENGTH SECOND, 3650 * DAY, "1s to 3650d"
static const usher_option_t keys[] = {
    { "on", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(on), kinds },
    { "status", USHER_OPTION_TEXT, 0, 1, 1024, "statuses and ranges of them, as 404,500-599", FIELD(status) },
    { "path", USHER_OPTION_TEXT, 0, 1, 4096, "a regular expression", FIELD(path) },
    { "method", USHER_OPTION_TEXT, 0, 1, 1024, "methods, as GET,POST", FIELD(method) },
    { "expr", USHER_OPTION_TEXT, 0, 1, APR_INT32_MAX, "an expression", FIELD(expr) },
    { "max", USHER_OPTION_TEXT, 0, 1, 32, "a number", FIELD(max) },
    { "within", USHER_OPTION_DURATION, 0, SECOND, 7 * DAY, "1s to 7d", FIELD(within) },
    { "for", USHER_OPTION_DURATION, 0, LENGTH, FIELD(length) },
    { "for-max", USHER_OPTION_DURATION, 0, LENGTH, FIELD(length_max) },
    { "remember", USHER_OPTION_DURATION, 0, 0, 3650 * DAY, "0 to 3650d", FIELD(remember) },
    { "v4", USHER_OPTION_NUMBER, 0, 8, 32, "8 to 32, the bits of a prefix", FIELD(bits_v4) },
    { "v6", USHER_OPTION_NUMBER, 0, 16, 128, "16 to 128, the bits of a prefix", FIELD(bits_v6) },
    { "wider", USHER_OPTION_NUMBER, 1, 2, 255, "2 to 255, or off", FIELD(wider) },
    { "mode", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(mode), modes },
    { NULL }
};

/* One subscriber has a /56 or a /48 of IPv6, and as many /64 as he likes. Neighbours in IPv4 are strangers. */
#define WIDER_UNSET (-1)
#define WIDER_V4 0
#define WIDER_V6 4

static const ban_rule_line_t defaults = {
    .on = BAN_ON_REQUEST,
    .mode = BAN_MODE_UNSET,
    .within = 600 * SECOND,
    .length = HOUR,
    .remember = 30 * DAY,
    .bits_v4 = 32,
    .bits_v6 = 64,
    .wider = WIDER_UNSET,
};

static const char *line_why_not_name(apr_pool_t *p, const char *name)
{
    apr_size_t len;

    for (len = 0; apr_isalnum(name[len]) || name[len] == '-' || name[len] == '_'; ++len) {
    }
    if (!len || name[len] || len >= BAN_NAME_SIZE) {
        return apr_psprintf(p,
                            "\"%s\": takes a name first, of 1 to %d letters, digits, '-' and '_', and key=value "
                            "after it",
                            name, BAN_NAME_SIZE - 1);
    }
    return NULL;
}

/* What its keys say together. */
static const char *line_why_not_keys(const ban_rule_line_t *line)
{
    int has_match = line->status || line->path || line->method || line->expr;

    if (!line->max) {
        return "needs max=: how many are allowed, before the next one bans";
    }
    if (line->on == BAN_ON_HANDSHAKE && has_match) {
        return "on=handshake: there is no request yet: it takes no status=, path=, method= and expr=";
    }
    if (line->on == BAN_ON_REQUEST && !has_match) {
        return "needs status=, path=, method= or expr=: on=request would count every request, which on=rate is for";
    }
    if (line->length_max && line->length_max < line->length) {
        return "for-max= must not be less than for=";
    }
    return NULL;
}

static const char *line_max(apr_pool_t *p, apr_uint64_t *max, const ban_rule_line_t *line)
{
    apr_size_t len = strlen(line->max);

    if (line->on == BAN_ON_BYTES ? usher_size_parse(max, line->max, len) == APR_SUCCESS
                                 : usher_number_parse(max, EVENTS_MAX, line->max, len) == len) {
        return NULL;
    }
    return apr_psprintf(p, "\"max=%s\": max takes %s", line->max,
                        line->on == BAN_ON_BYTES ? "a size with on=bytes, as 100M" : "a number, 0 to 1000000000");
}

/* Methods differ by case: "post" would fit no request, and nobody would see it. */
static int line_has_small(const char *methods)
{
    while (*methods && !apr_islower(*methods)) {
        ++methods;
    }
    return *methods != '\0';
}

static const char *line_why_not_lists(apr_pool_t *p, const ban_rule_line_t *line, usher_match_statuses_t *statuses)
{
    memset(statuses, 0, sizeof(*statuses));
    if (line->status && !usher_match_statuses_parse(statuses, line->status, strlen(line->status))) {
        return apr_psprintf(p, "\"status=%s\": status takes statuses and ranges of them, 100 to 599, as 404,500-599",
                            line->status);
    }
    if (line->method && (!usher_match_is_list(line->method, strlen(line->method)) || line_has_small(line->method))) {
        return apr_psprintf(p,
                            "\"method=%s\": method takes methods with commas between them, in capitals, as GET,POST",
                            line->method);
    }
    return NULL;
}

static void line_make(ban_rule_t *rule, const ban_rule_line_t *line)
{
    rule->name = line->name;
    rule->number = usher_crc64((const unsigned char *)line->name, strlen(line->name));
    rule->within = line->within / MS;
    rule->length = line->length / MS;
    rule->length_max = (line->length_max ? line->length_max : 30 * DAY) / MS;
    rule->length_max = rule->length_max > rule->length ? rule->length_max : rule->length;
    rule->remember = line->remember / MS;
    rule->bits_v4 = (unsigned char)(96 + line->bits_v4);
    rule->bits_v6 = (unsigned char)line->bits_v6;
    rule->wider_v4 = (unsigned char)(line->wider == WIDER_UNSET ? WIDER_V4 : line->wider);
    rule->wider_v6 = (unsigned char)(line->wider == WIDER_UNSET ? WIDER_V6 : line->wider);
}

const char *ban_rule_line_read(apr_pool_t *p, ban_rule_line_t *line, ban_rule_t *rule,
                               usher_match_statuses_t *statuses, int argc, char *const argv[])
{
    const char *why = line_why_not_name(p, argc ? argv[0] : "");

    *line = defaults;
    memset(rule, 0, sizeof(*rule));
    why = why ? why : usher_options_set(p, line, sizeof(*line), keys, argc - 1, argv + 1);
    why = why ? why : line_why_not_keys(line);
    why = why ? why : line_max(p, &rule->max, line);
    why = why ? why : line_why_not_lists(p, line, statuses);
    if (!why) {
        line->name = argv[0];
        line_make(rule, line);
    }
    return why;
}
