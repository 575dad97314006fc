#include "fuzz.h"

#include "usher_httpsig.h"

static int find(void *baton, usher_span_t name, usher_span_t *value)
{
    *value = name;
    return name.len % 7 != 6;
}

/* Whatever is accepted points into the input, and its base ends with the parameters as they were sent; the
 * same bytes are read as a field Signature, and as a Content-Digest, as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_span_t input = { (const char *)data, size };
    unsigned char mac[USHER_HTTPSIG_MAC_SIZE];
    usher_httpsig_t sig;
    const char *why = NULL;
    char base[1024];
    size_t len;
    unsigned int i;

    usher_httpsig_digest(input, data, size);
    if (!usher_httpsig_parse(&sig, &why, input)) {
        FUZZ_ASSERT(why);
        sig.label = (usher_span_t) { "sig", 3 };
        usher_httpsig_parse_mac(mac, &sig, &why, input);
        return 0;
    }
    FUZZ_ASSERT(sig.label.len && sig.count <= USHER_HTTPSIG_COMPONENTS_MAX);
    FUZZ_ASSERT(sig.params.text >= input.text && sig.params.len <= (size_t)(input.text + size - sig.params.text));
    for (i = 0; i < sig.count; ++i) {
        FUZZ_ASSERT(sig.components[i].len && !memchr(sig.components[i].text, '"', sig.components[i].len));
    }
    len = usher_httpsig_base(&sig, base, sizeof(base), find, NULL);
    FUZZ_ASSERT(len <= sizeof(base));
    FUZZ_ASSERT(!len || !memcmp(base + len - sig.params.len, sig.params.text, sig.params.len));
    return 0;
}
