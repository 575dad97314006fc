/**
 * @file  usher_status_text.h
 * @brief The status of all members as text: aligned columns. For mod_usher_status and
 *        usherctl; needs jansson, so it is no part of libusher.
 */
#ifndef USHER_STATUS_TEXT_H
#define USHER_STATUS_TEXT_H

#include <apr_pools.h>
#include <jansson.h>

/** For json_dump*(): enough for all that is shown; with more, 7.7 is 7.7000000000000002. */
#define USHER_STATUS_DIGITS JSON_REAL_PRECISION(12)

/**
 * Make a text of what the handler usher-status gives as JSON: the status, the answer to a
 * change, or an error.
 * @param p       for the text
 * @param status  may come from anybody: what is missing or of another type is shown as
 *                "-", and what is not printable as \\xNN
 */
const char *usher_status_text(apr_pool_t *p, const json_t *status);

#endif /* USHER_STATUS_TEXT_H */
