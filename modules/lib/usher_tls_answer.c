#include "usher_tls_answer.h"

#include <string.h>

#include "usher_bytes.h"

#define EXT_VERSIONS  43
#define EXT_KEY_SHARE 51

#define TLS_1_2 0x0303

#define NAMED_CURVE 3

/* The random bytes of a HelloRetryRequest: SHA-256 of "HelloRetryRequest" */
static const unsigned char answer_retry[32] = {
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
};

void usher_tls_answer_hello(usher_tls_answer_t *answer, const unsigned char *message,
                            apr_size_t len)
{
    usher_bytes_t from = { message, len, 0 };
    unsigned int version = usher_bytes_number(&from, 2), cipher, group = 0;
    usher_bytes_t random = usher_bytes_take(&from, sizeof(answer_retry));
    usher_bytes_t all;

    usher_bytes_part(&from, 1); /* the session's id */
    cipher = usher_bytes_number(&from, 2);
    usher_bytes_take(&from, 1); /* compression */
    if (from.bad) {
        return;
    }
    all = usher_bytes_part(&from, 2);
    while (all.len) {
        unsigned int type = usher_bytes_number(&all, 2);
        usher_bytes_t body = usher_bytes_part(&all, 2);

        if (type == EXT_VERSIONS && body.len == 2) {
            version = usher_bytes_number(&body, 2);
        }
        else if (type == EXT_KEY_SHARE && body.len >= 2) {
            group = usher_bytes_number(&body, 2);
        }
    }
    answer->version = (apr_uint16_t)version;
    answer->cipher = (apr_uint16_t)cipher;
    answer->group = (apr_uint16_t)group;
    answer->retry |= !memcmp(random.at, answer_retry, sizeof(answer_retry));
}

/* The signature's algorithm is what comes next, from TLS 1.2 on. */
static void answer_sigalg(usher_tls_answer_t *answer, usher_bytes_t *from)
{
    if (answer->version == TLS_1_2 && !from->bad && from->len >= 2) {
        answer->sigalg = (apr_uint16_t)usher_bytes_number(from, 2);
    }
}

void usher_tls_answer_ecdhe(usher_tls_answer_t *answer, const unsigned char *message,
                            apr_size_t len)
{
    usher_bytes_t from = { message, len, 0 };
    unsigned int type = usher_bytes_number(&from, 1);
    unsigned int group = usher_bytes_number(&from, 2);

    if (type != NAMED_CURVE || from.bad) {
        return;
    }
    answer->group = (apr_uint16_t)group;
    usher_bytes_part(&from, 1); /* the server's share */
    answer_sigalg(answer, &from);
}

void usher_tls_answer_dhe(usher_tls_answer_t *answer, const unsigned char *message, apr_size_t len)
{
    usher_bytes_t from = { message, len, 0 };
    usher_bytes_t prime = usher_bytes_part(&from, 2);

    if (from.bad) {
        return;
    }
    answer->dh_bits = (apr_uint16_t)(8 * (prime.len < 8191 ? prime.len : 8191));
    usher_bytes_part(&from, 2); /* the generator */
    usher_bytes_part(&from, 2); /* the server's share */
    answer_sigalg(answer, &from);
}

void usher_tls_answer_verify(usher_tls_answer_t *answer, const unsigned char *message,
                             apr_size_t len)
{
    usher_bytes_t from = { message, len, 0 };
    unsigned int sigalg = usher_bytes_number(&from, 2);

    if (!from.bad) {
        answer->sigalg = (apr_uint16_t)sigalg;
    }
}
