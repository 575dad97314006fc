/**
 * @file  usher_signed.h
 * @brief Who has signed a request: mod_usher_register's keys and certificates, for other handlers.
 */
#ifndef USHER_SIGNED_H
#define USHER_SIGNED_H

#include <apr_optional.h>
#include <httpd.h>

typedef struct usher_signed_t {
    int status;          /**< of HTTP; OK: the request is signed, and by whom is known */
    const char *code;    /**< "bad-signature": for programs */
    const char *message; /**< for people, with the remedy */
    const char *who;     /**< id of the key, or "cert:..." */
    int may_ban;         /**< his policy says "bans" */
} usher_signed_t;

/**
 * Learn who asks; the signature's nonce is used up, failures are logged and counted.
 * @param body    as it was received
 * @param result  all texts in r->pool or static
 */
APR_DECLARE_OPTIONAL_FN(void, usher_signed_by,
                        (request_rec *r, const char *body, apr_size_t len, usher_signed_t *result));

#endif /* USHER_SIGNED_H */
