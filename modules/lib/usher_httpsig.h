/**
 * @file  usher_httpsig.h
 * @brief Signed requests: HTTP message signatures (RFC 9421) with hmac-sha256, and the digest of
 *        a body (RFC 9530).
 *
 * Fields are read in the one form that RFC 8941 says they are written in, so that what was
 * received is what was signed: one blank between components, none behind a ';', no escapes in
 * strings. One signature, no parameters of components. All that is found points into the field.
 */
#ifndef USHER_HTTPSIG_H
#define USHER_HTTPSIG_H

#include "usher_cookie.h"

/** Most components that a signature may cover. */
#define USHER_HTTPSIG_COMPONENTS_MAX 16
#define USHER_HTTPSIG_MAC_SIZE 32
/** A time that is not there. */
#define USHER_HTTPSIG_NEVER (-1)

/** What a field Signature-Input says. */
typedef struct usher_httpsig_t {
    usher_span_t label;
    usher_span_t params; /**< all behind the label's '=': the value of "@signature-params" */
    unsigned int count;
    usher_span_t components[USHER_HTTPSIG_COMPONENTS_MAX]; /**< their names, no quotes */
    apr_int64_t created, expires; /**< UTC, seconds; USHER_HTTPSIG_NEVER */
    usher_span_t nonce, keyid, alg, tag; /**< text NULL: not there */
} usher_httpsig_t;

/**
 * Read a field Signature-Input.
 * @param why    gets what is wrong with it; static
 * @param input  the field's value
 * @return 1; 0: refused
 */
int usher_httpsig_parse(usher_httpsig_t *sig, const char **why, usher_span_t input);

/**
 * Read a field Signature.
 * @param mac    gets what it says
 * @param sig    must have the same label
 * @param why    gets what is wrong with it; static
 * @return 1; 0: refused
 */
int usher_httpsig_parse_mac(unsigned char mac[USHER_HTTPSIG_MAC_SIZE], const usher_httpsig_t *sig,
                            const char **why, usher_span_t signature);

/** Whether a signature covers a component. */
int usher_httpsig_covers(const usher_httpsig_t *sig, const char *name);

/**
 * Find what a component is in the message.
 * @param name   "@method", or a field's in small letters
 * @param value  gets it, without blanks around it
 * @return 1; 0: the message has no such component
 */
typedef int usher_httpsig_find_t(void *baton, usher_span_t name, usher_span_t *value);

/**
 * Write what is signed, the signature base.
 * @param to  room for @a size bytes; no NUL is written
 * @return how long it is; 0: there is no such component, its value has a line's end, or there is no room
 */
apr_size_t usher_httpsig_base(const usher_httpsig_t *sig, char *to, apr_size_t size,
                              usher_httpsig_find_t *find, void *baton);

/**
 * Whether a key has made a signature; takes as long for a wrong one as for a right one.
 * @return 1 or 0
 */
int usher_httpsig_verify(const unsigned char mac[USHER_HTTPSIG_MAC_SIZE], const unsigned char *key,
                         apr_size_t key_len, const char *base, apr_size_t len);

typedef enum {
    USHER_HTTPSIG_DIGEST_GOOD,
    USHER_HTTPSIG_DIGEST_BAD,  /**< it is another body, or no such field */
    USHER_HTTPSIG_DIGEST_NONE  /**< it has no sha-256 */
} usher_httpsig_digest_e;

/** Whether a field Content-Digest fits a body, by its sha-256. */
usher_httpsig_digest_e usher_httpsig_digest(usher_span_t field, const void *body, apr_size_t len);

#endif /* USHER_HTTPSIG_H */
