#include "usher_crc64.h"

#define POLYNOMIAL APR_UINT64_C(0xc96c5795d7870f42)
#define ALL_ONES   (~APR_UINT64_C(0))
/* What a block with its checksum behind it always comes to. */
#define RESIDUE    APR_UINT64_C(0x49958c9abd7d353f)

/* Four zero bits behind each value of four bits. */
static const apr_uint64_t four_bits[16] = {
    APR_UINT64_C(0x0000000000000000), APR_UINT64_C(0x7d9ba13851336649),
    APR_UINT64_C(0xfb374270a266cc92), APR_UINT64_C(0x86ace348f355aadb),
    APR_UINT64_C(0x64b62bcaebc387a1), APR_UINT64_C(0x192d8af2baf0e1e8),
    APR_UINT64_C(0x9f8169ba49a54b33), APR_UINT64_C(0xe21ac88218962d7a),
    APR_UINT64_C(0xc96c5795d7870f42), APR_UINT64_C(0xb4f7f6ad86b4690b),
    APR_UINT64_C(0x325b15e575e1c3d0), APR_UINT64_C(0x4fc0b4dd24d2a599),
    APR_UINT64_C(0xadda7c5f3c4488e3), APR_UINT64_C(0xd041dd676d77eeaa),
    APR_UINT64_C(0x56ed3e2f9e224471), APR_UINT64_C(0x2b769f17cf112238)
};

static apr_uint64_t crc64_run(const unsigned char *bytes, apr_size_t len)
{
    apr_uint64_t crc = ALL_ONES;
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ four_bits[crc & 15];
        crc = crc >> 4 ^ four_bits[crc & 15];
    }
    return crc;
}

/* As if the last byte, a zero, had not been there. */
static apr_uint64_t crc64_undo(apr_uint64_t crc)
{
    int bit;

    for (bit = 0; bit < 8; ++bit) {
        crc = crc >> 63 ? (crc ^ POLYNOMIAL) << 1 | 1 : crc << 1;
    }
    return crc;
}

apr_uint64_t usher_crc64(const unsigned char *bytes, apr_size_t len)
{
    return crc64_run(bytes, len) ^ ALL_ONES;
}

void usher_crc64_seal(unsigned char *bytes, apr_size_t len)
{
    apr_uint64_t crc = usher_crc64(bytes, len);
    int i;

    for (i = 0; i < USHER_CRC64_SIZE; ++i) {
        bytes[len + (apr_size_t)i] = (unsigned char)(crc >> 8 * i);
    }
}

/* What a block comes to differs from what it should by what its wrong bits alone would come to.
 * With all of them in one byte, these are that byte's, and zeros behind it: so many zeros are
 * taken off until nothing but one byte is left. */
int usher_crc64_check(const unsigned char *bytes, apr_size_t len, apr_size_t *wrong,
                      unsigned char *value)
{
    apr_uint64_t crc;
    apr_size_t at = len;

    if (len < USHER_CRC64_SIZE) {
        return 0;
    }
    *wrong = len;
    crc = crc64_run(bytes, len) ^ RESIDUE;
    if (!crc) {
        return 1;
    }
    while (len <= USHER_CRC64_MEND_MAX && at > 0) {
        crc = crc64_undo(crc);
        --at;
        if (crc < 256) {
            *wrong = at;
            *value = (unsigned char)(bytes[at] ^ crc);
            return 1;
        }
    }
    return 0;
}
