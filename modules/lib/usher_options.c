/* key=value arguments of a directive. */
#include "usher_options.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <string.h>

#include "usher_duration.h"
#include "usher_number.h"
#include "usher_size.h"

static int options_is_word(const char *text, const char *word)
{
    return !apr_cstr_casecmp(text, word);
}

static const char *options_names(apr_pool_t *p, const usher_option_t *options)
{
    const char *names = options->name;

    for (++options; options->name; ++options) {
        names = apr_pstrcat(p, names, options[1].name ? ", " : " and ", options->name, NULL);
    }
    return names;
}

static const char *options_allowed(apr_pool_t *p, const usher_option_t *option)
{
    const char *const *word = option->words;
    const char *all;

    if (option->allowed || !word) {
        return option->allowed;
    }
    for (all = *word++; *word; ++word) {
        all = apr_pstrcat(p, all, word[1] ? ", " : " or ", *word, NULL);
    }
    return all;
}

static int options_word(int *index, const usher_option_t *option, const char *text)
{
    int i;

    for (i = 0; option->words[i]; ++i) {
        if (options_is_word(text, option->words[i])) {
            *index = i;
            return 1;
        }
    }
    return 0;
}

/* Returns 1 when the text is a number of the option's kind. */
static int options_number(apr_int64_t *value, const usher_option_t *option, const char *text)
{
    apr_size_t len = strlen(text);
    apr_interval_time_t duration;
    apr_uint64_t number;

    if (option->kind == USHER_OPTION_DURATION) {
        if (usher_duration_parse(&duration, text, len) != APR_SUCCESS) {
            return 0;
        }
        *value = duration;
        return 1;
    }
    if (option->kind == USHER_OPTION_SIZE
            ? usher_size_parse(&number, text, len) != APR_SUCCESS
            : usher_number_parse(&number, APR_INT32_MAX, text, len) != len || !len) {
        return 0;
    }
    *value = (apr_int64_t)number;
    return 1;
}

/* Returns 1 when the value is of the option's kind and within its bounds. */
static int options_value(void *field, const usher_option_t *option, const char *text)
{
    apr_int64_t value;

    switch (option->kind) {
    case USHER_OPTION_WORD:
        return options_word(field, option, text);
    case USHER_OPTION_TEXT:
        if (strlen(text) < (apr_size_t)option->min || strlen(text) > (apr_size_t)option->max) {
            return 0;
        }
        *(const char **)field = text;
        return 1;
    default:
        break;
    }
    if (option->may_be_off && options_is_word(text, "off")) {
        *(apr_int64_t *)field = 0;
        return 1;
    }
    if (!options_number(&value, option, text) || value < option->min || value > option->max) {
        return 0;
    }
    *(apr_int64_t *)field = value;
    return 1;
}

/* One argument. Returns a reason, or NULL. */
static const char *options_set_one(apr_pool_t *p, void *into, const usher_option_t *options,
                                   const char *text)
{
    const char *equals = strchr(text, '=');
    apr_size_t len = equals ? (apr_size_t)(equals - text) : strlen(text);
    const usher_option_t *option;

    for (option = options; option->name; ++option) {
        void *field = (char *)into + option->field;

        if (strlen(option->name) != len || strncmp(text, option->name, len) != 0
            || (option->kind == USHER_OPTION_FLAG) != !equals) {
            continue;
        }
        if (!equals) {
            *(int *)field = 1;
        }
        else if (!options_value(field, option, equals + 1)) {
            return apr_psprintf(p, "\"%s\": %s takes %s", text, option->name,
                                options_allowed(p, option));
        }
        return NULL;
    }
    return apr_psprintf(p, "\"%s\": takes key=value with the keys %s", text,
                        options_names(p, options));
}

const char *usher_options_set(apr_pool_t *p, void *into, apr_size_t size,
                              const usher_option_t *options, int argc, char *const argv[])
{
    void *set = apr_pmemdup(p, into, size);
    const char *reason = argc ? NULL : apr_pstrcat(p, "needs at least one of ",
                                                   options_names(p, options), NULL);
    int i;

    for (i = 0; i < argc && !reason; ++i) {
        reason = options_set_one(p, set, options, argv[i]);
    }
    if (!reason) {
        memcpy(into, set, size);
    }
    return reason;
}
