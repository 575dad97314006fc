/* Lists with commas. */
#include "usher_match.h"

#include <string.h>

#include "usher_number.h"
#include "usher_text.h"

/* The first item of a list; the text moves behind its comma. */
static apr_size_t match_item(const char **text, apr_size_t *len)
{
    const char *comma = memchr(*text, ',', *len);
    apr_size_t item = comma ? (apr_size_t)(comma - *text) : *len;
    apr_size_t all = comma ? item + 1 : item;

    *text += all;
    *len -= all;
    return item;
}

static apr_size_t match_status(apr_uint64_t *status, const char *text, apr_size_t len)
{
    apr_size_t digits = usher_number_parse(status, USHER_MATCH_STATUS_MAX, text, len);

    return digits == 3 && *status >= USHER_MATCH_STATUS_MIN ? digits : 0;
}

/* "404", "400-499" */
static int match_range(usher_match_statuses_t *set, const char *text, apr_size_t len)
{
    apr_uint64_t first, last;
    apr_size_t digits = match_status(&first, text, len);

    if (!digits) {
        return 0;
    }
    last = first;
    if (len > digits) {
        apr_size_t left = len - digits - 1;

        if (text[digits] != '-' || !left || match_status(&last, text + digits + 1, left) != left || last < first) {
            return 0;
        }
    }
    for (; first <= last; ++first) {
        set->bits[first / 64] |= (apr_uint64_t)1 << first % 64;
    }
    return 1;
}

int usher_match_statuses_parse(usher_match_statuses_t *set, const char *text, apr_size_t len)
{
    usher_match_statuses_t read = { { 0 } };
    int right = 1, ends = 0;

    memset(set, 0, sizeof(*set));
    while (right && !ends) {
        const char *item = text;
        apr_size_t item_len = match_item(&text, &len);

        right = match_range(&read, item, item_len);
        ends = text == item + item_len;
    }
    if (right) {
        *set = read;
    }
    return right;
}

int usher_match_is_list(const char *text, apr_size_t len)
{
    int right = 1, ends = 0;

    while (right && !ends) {
        const char *item = text;
        apr_size_t item_len = match_item(&text, &len);

        right = usher_text_is_token(item, item_len);
        ends = text == item + item_len;
    }
    return right;
}

int usher_match_list_has(const char *list, apr_size_t list_len, const char *token, apr_size_t len)
{
    while (list_len) {
        const char *item = list;

        if (match_item(&list, &list_len) == len && !memcmp(item, token, len)) {
            return 1;
        }
    }
    return 0;
}
