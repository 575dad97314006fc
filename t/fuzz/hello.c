#include "fuzz.h"
#include "usher_hello.h"
#include "usher_tls_answer.h"

static void check_bytes(const usher_hello_bytes_t *bytes, const uint8_t *data, size_t size)
{
    FUZZ_ASSERT(bytes->at >= data && bytes->len <= size
                && (size_t)(bytes->at - data) <= size - bytes->len);
}

/* What is kept of a client's message lies within it; what a server sends is read the same
 * way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_tls_answer_t answer = { 0x0303, 0, 0, 0, 0, 0 };
    usher_hello_t hello, again;
    unsigned int i;

    if (usher_hello_read(&hello, data, size) == USHER_PARSE_DONE) {
        if (hello.has_sni) {
            check_bytes(&hello.sni, data, size);
        }
        for (i = 0; i < hello.alpn_all && i < USHER_HELLO_ALPN_MAX; ++i) {
            check_bytes(&hello.alpn[i], data, size);
            FUZZ_ASSERT(hello.alpn[i].len > 0);
        }
        FUZZ_ASSERT(hello.ciphers_all <= size / 2 && hello.extensions_all <= size / 4);
        FUZZ_ASSERT(hello.versions_all || usher_hello_version_max(&hello) == hello.legacy_version);
        /* Nothing is left of an earlier message. */
        memset(&again, 0xff, sizeof(again));
        FUZZ_ASSERT(usher_hello_read(&again, data, size) == USHER_PARSE_DONE
                    && again.extensions_all == hello.extensions_all);
    }
    usher_tls_answer_hello(&answer, data, size);
    usher_tls_answer_ecdhe(&answer, data, size);
    usher_tls_answer_dhe(&answer, data, size);
    usher_tls_answer_verify(&answer, data, size);
    return 0;
}
