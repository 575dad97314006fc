/**
 * @file  usher_tls_answer.h
 * @brief What a TLS server chose, from the messages that it sends.
 *
 * Each function takes a whole message without the handshake's header of four bytes. What is
 * not understood changes nothing.
 */
#ifndef USHER_TLS_ANSWER_H
#define USHER_TLS_ANSWER_H

#include <apr.h>

typedef struct usher_tls_answer_t {
    apr_uint16_t version; /**< 0x0304; 0: not known, as all here */
    apr_uint16_t cipher;
    apr_uint16_t group;
    apr_uint16_t sigalg;
    apr_uint16_t dh_bits; /**< of a group without a number (TLS 1.2, DHE) */
    int retry;            /**< a HelloRetryRequest was among them */
} usher_tls_answer_t;

/** ServerHello, or HelloRetryRequest: RFC 8446, 4.1.3 and 4.1.4. */
void usher_tls_answer_hello(usher_tls_answer_t *answer, const unsigned char *message,
                            apr_size_t len);

/** ServerKeyExchange of TLS 1.2 and older, with ECDHE: RFC 8422, 5.4. */
void usher_tls_answer_ecdhe(usher_tls_answer_t *answer, const unsigned char *message,
                            apr_size_t len);

/** The same with DHE: RFC 5246, 7.4.3. */
void usher_tls_answer_dhe(usher_tls_answer_t *answer, const unsigned char *message,
                          apr_size_t len);

/** CertificateVerify of TLS 1.3: RFC 8446, 4.4.3. */
void usher_tls_answer_verify(usher_tls_answer_t *answer, const unsigned char *message,
                             apr_size_t len);

#endif /* USHER_TLS_ANSWER_H */
