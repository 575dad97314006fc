#include "fuzz.h"

#include <apr_general.h>
#include <apr_pools.h>

#include "ban_rule_line.h"

#define WORDS_MAX 32
#define DAY (APR_INT64_C(24) * 3600 * 1000)

/* What the rest of the module takes for granted. */
static void check(const ban_rule_line_t *line, const ban_rule_t *rule, const usher_match_statuses_t *statuses)
{
    int status, matches = 0;

    for (status = 0; status <= 1000; ++status) {
        matches += usher_match_statuses_has(statuses, status);
    }
    FUZZ_ASSERT((line->status != NULL) == (matches > 0));
    FUZZ_ASSERT(*rule->name && strlen(rule->name) < BAN_NAME_SIZE);
    FUZZ_ASSERT(line->on >= BAN_ON_REQUEST && line->on <= BAN_ON_BYTES);
    FUZZ_ASSERT(line->mode >= BAN_MODE_LOG && line->mode <= BAN_MODE_UNSET);
    FUZZ_ASSERT(line->on != BAN_ON_REQUEST || line->status || line->path || line->method || line->expr);
    FUZZ_ASSERT(line->on != BAN_ON_HANDSHAKE || !(line->status || line->path || line->method || line->expr));
    FUZZ_ASSERT(line->on == BAN_ON_BYTES || rule->max <= 1000000000);
    FUZZ_ASSERT(rule->within >= 1000 && rule->within <= 7 * DAY);
    FUZZ_ASSERT(rule->length >= 1000 && rule->length <= rule->length_max && rule->length_max <= 3650 * DAY);
    FUZZ_ASSERT(rule->remember >= 0 && rule->remember <= 3650 * DAY);
    FUZZ_ASSERT(rule->bits_v4 >= 96 + 8 && rule->bits_v4 <= 128);
    FUZZ_ASSERT(rule->bits_v6 >= 16 && rule->bits_v6 <= 128);
    FUZZ_ASSERT(rule->wider_v4 != 1 && rule->wider_v6 != 1);
}

/* A line for each word, as httpd has taken them apart. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *words[WORDS_MAX], *at;
    usher_match_statuses_t statuses;
    ban_rule_line_t line;
    const char *wrong;
    apr_pool_t *pool;
    ban_rule_t rule;
    int n = 0;

    memcpy(text, data, size);
    text[size] = '\0';
    for (at = text; at && n < WORDS_MAX; ++n) {
        words[n] = at;
        at = strchr(at, '\n');
        if (at) {
            *at++ = '\0';
        }
    }
    apr_initialize();
    apr_pool_create(&pool, NULL);
    wrong = ban_rule_line_read(pool, &line, &rule, &statuses, n, words);
    if (wrong) {
        FUZZ_ASSERT(*wrong);
    }
    else {
        check(&line, &rule, &statuses);
    }
    apr_pool_destroy(pool);
    free(text);
    return 0;
}
