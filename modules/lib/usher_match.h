/**
 * @file  usher_match.h
 * @brief Sets of HTTP statuses and lists of tokens, as a rule has them: "404,400-499", "GET,POST".
 */
#ifndef USHER_MATCH_H
#define USHER_MATCH_H

#include <apr.h>

#define USHER_MATCH_STATUS_MIN 100
#define USHER_MATCH_STATUS_MAX 599

/** A bit for each status. */
typedef struct usher_match_statuses_t {
    apr_uint64_t bits[(USHER_MATCH_STATUS_MAX + 64) / 64];
} usher_match_statuses_t;

/**
 * Read a list of statuses and ranges of them, with commas between them.
 * @param set   zeros where 0 is returned
 * @param text  not NUL-terminated
 * @return 1; 0: it is none
 */
int usher_match_statuses_parse(usher_match_statuses_t *set, const char *text, apr_size_t len);

static inline int usher_match_statuses_has(const usher_match_statuses_t *set, int status)
{
    return status >= USHER_MATCH_STATUS_MIN && status <= USHER_MATCH_STATUS_MAX
           && (set->bits[status / 64] >> status % 64 & 1);
}

/** Whether a text is a list of tokens (RFC 9110, 5.6.2), with single commas between them. */
int usher_match_is_list(const char *text, apr_size_t len);

/** Whether a list has a token, in the same letters. @param token  not NUL-terminated */
int usher_match_list_has(const char *list, apr_size_t list_len, const char *token, apr_size_t len);

#endif /* USHER_MATCH_H */
