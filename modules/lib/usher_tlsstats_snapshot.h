/* The form of a snapshot: its head is magic (with the form's number), size of the memory, when it was
 * made, secret, when counting began; then records, each with what it is; a sum of all that at the end. */
#ifndef USHER_TLSSTATS_SNAPSHOT_H
#define USHER_TLSSTATS_SNAPSHOT_H

#include "usher_tlsstats_private.h"

#define SNAPSHOT_MAGIC     "USHERTLS\0\0\0\1"
#define SNAPSHOT_MAGIC_LEN 12
#define SNAPSHOT_HEAD_LEN  (SNAPSHOT_MAGIC_LEN + 8 + 8 + USHER_TLSSTATS_SECRET_SIZE + 8)
#define SNAPSHOT_SUM_LEN   8

enum {
    SNAPSHOT_END,
    SNAPSHOT_VHOST,
    SNAPSHOT_SERIES,
    SNAPSHOT_CROWD,
    SNAPSHOT_CLIENT,
    SNAPSHOT_OFFER,
    SNAPSHOT_LOST
};

/* Instead of how many bytes of a sketch follow: all. */
#define SNAPSHOT_DENSE 0xffff

#define SNAPSHOT_SUM_BEGIN 0xcbf29ce484222325

/* FNV-1a: another byte is always another sum. Against accidents; who means it owns the directory. */
static inline apr_uint64_t tlsstats_sum(apr_uint64_t sum, const unsigned char *bytes, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    }
    return sum;
}

#endif /* USHER_TLSSTATS_SNAPSHOT_H */
