/* Values of an address, from a database that was proved good. */
#include "geo_read.h"

#include <apr_strings.h>
#include <netinet/in.h>
#include <string.h>

/* The longest text whose length is in its first byte. */
#define READ_KEY_MAX 28

/* Addresses as libmaxminddb takes them. IPv4's are IPv4's in either form. */
typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} read_address_t;

static void read_number(unsigned char *bytes, apr_uint64_t number, int n)
{
    while (n--) {
        bytes[n] = (unsigned char)number;
        number >>= 8;
    }
}

static void read_address(read_address_t *to, usher_cidr_address_t address)
{
    memset(to, 0, sizeof(*to));
    if (!address.high && address.low >> 32 == 0xffff) {
        to->v4.sin_family = AF_INET;
        read_number((unsigned char *)&to->v4.sin_addr, address.low, 4);
        return;
    }
    to->v6.sin6_family = AF_INET6;
    read_number(to->v6.sin6_addr.s6_addr, address.high, 8);
    read_number(to->v6.sin6_addr.s6_addr + 8, address.low, 8);
}

/* Texts go into headers and logs: no line ends, no NUL. */
static const char *read_text(apr_pool_t *p, const char *bytes, apr_size_t len)
{
    char *text = apr_pstrmemdup(p, bytes, len);
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if ((unsigned char)text[i] < ' ' || text[i] == 127) {
            text[i] = ' ';
        }
    }
    return text;
}

static const char *read_uint128(apr_pool_t *p, const MMDB_entry_data_s *data)
{
    char *text = apr_pstrdup(p, "0x00000000000000000000000000000000");
    int i;

    for (i = 0; i < 32; ++i) {
#if MMDB_UINT128_IS_BYTE_ARRAY
        int half = data->uint128[i / 2] >> (i & 1 ? 0 : 4) & 15;
#else
        int half = (int)(data->uint128 >> (124 - 4 * i)) & 15;
#endif

        text[2 + i] = "0123456789abcdef"[half];
    }
    return text;
}

static const char *read_value(apr_pool_t *p, const MMDB_entry_data_s *data)
{
    switch (data->type) {
    case MMDB_DATA_TYPE_UTF8_STRING:
        return read_text(p, data->utf8_string, data->data_size);
    case MMDB_DATA_TYPE_BYTES:
        return read_text(p, (const char *)data->bytes, data->data_size);
    case MMDB_DATA_TYPE_BOOLEAN:
        return data->boolean ? "1" : "0";
    case MMDB_DATA_TYPE_UINT16:
        return apr_psprintf(p, "%u", (unsigned int)data->uint16);
    case MMDB_DATA_TYPE_UINT32:
        return apr_psprintf(p, "%" APR_UINT64_T_FMT, (apr_uint64_t)data->uint32);
    case MMDB_DATA_TYPE_UINT64:
        return apr_psprintf(p, "%" APR_UINT64_T_FMT, (apr_uint64_t)data->uint64);
    case MMDB_DATA_TYPE_INT32:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)data->int32);
    case MMDB_DATA_TYPE_DOUBLE:
        return apr_psprintf(p, "%.5f", data->double_value);
    case MMDB_DATA_TYPE_FLOAT:
        return apr_psprintf(p, "%.5f", (double)data->float_value);
    case MMDB_DATA_TYPE_UINT128:
        return read_uint128(p, data);
    default:
        return NULL;
    }
}

static geo_result_e read_values(MMDB_entry_s *entry, geo_value_t *values, int n, apr_pool_t *p)
{
    int i;

    for (i = 0; i < n; ++i) {
        MMDB_entry_data_s data;
        int rc = MMDB_aget_value(entry, &data, values[i].path->parts);

        if (rc == MMDB_SUCCESS && data.has_data) {
            values[i].text = read_value(p, &data);
        }
        else if (rc != MMDB_SUCCESS && rc != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR
                 && rc != MMDB_INVALID_LOOKUP_PATH_ERROR) {
            return GEO_UNUSABLE;
        }
    }
    return GEO_FOUND;
}

geo_result_e geo_read(const MMDB_s *mmdb, usher_cidr_address_t address, geo_value_t *values, int n,
                      int *prefix, apr_pool_t *p)
{
    MMDB_lookup_result_s found;
    read_address_t of;
    int bits, i, rc;

    for (i = 0; i < n; ++i) {
        values[i].text = NULL;
    }
    read_address(&of, address);
    if (of.any.sa_family == AF_INET6 && mmdb->metadata.ip_version == 4) {
        if (prefix) {
            *prefix = 0;
        }
        return GEO_NONE;
    }
    found = MMDB_lookup_sockaddr(mmdb, &of.any, &rc);
    if (rc != MMDB_SUCCESS) {
        return GEO_UNUSABLE;
    }
    if (prefix) {
        bits = found.netmask;
        if (of.any.sa_family == AF_INET && mmdb->metadata.ip_version == 6) {
            bits = bits > 96 ? bits - 96 : 0;
        }
        *prefix = bits;
    }
    return found.found_entry ? read_values(&found.entry, values, n, p) : GEO_NONE;
}

/* A short text is its bytes behind one that has its type and length. */
int geo_read_has_key(const MMDB_s *mmdb, const char *key)
{
    char text[READ_KEY_MAX + 2];
    size_t len = strlen(key);

    if (len > READ_KEY_MAX) {
        return 0;
    }
    text[0] = (char)(MMDB_DATA_TYPE_UTF8_STRING << 5 | len);
    memcpy(text + 1, key, len + 1);
    return memmem(mmdb->data_section, mmdb->data_section_size, text, len + 1) != NULL;
}
