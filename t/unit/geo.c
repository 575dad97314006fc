/* Databases in MaxMind's format: what is proved good is good at every address, and says what it
 * should; what is cut off, flipped or made to lie is refused, in time. */
#include "unit.h"

#include <dirent.h>
#include <time.h>

#include "geo_country.h"
#include "geo_try.h"

static void put(unsigned char *to, const char *some, size_t n)
{
    memcpy(to, some, n);
}

/* --- values */

static const struct {
    const char *what, *hex;
    int is_good;
} values[] = {
    { "a text", "43616263", 1 },
    { "an empty one", "40", 1 },
    { "29 bytes", "5d006161616161616161616161616161616161616161616161616161616161", 1 },
    { "29 bytes, cut off", "5d0061616161616161616161616161616161616161616161616161616161", 0 },
    { "a length cut off", "5d", 0 },
    { "a length of two bytes cut off", "5e01", 0 },
    { "a length of three bytes cut off", "5f0101", 0 },
    { "a long one that is not there", "5fffffff61", 0 },
    { "double", "683ff0000000000000", 1 },
    { "double of seven bytes", "673ff00000000000", 0 },
    { "float", "04083fc00000", 1 },
    { "float of three bytes", "03083fc000", 0 },
    { "uint16", "a20101", 1 },
    { "uint16, nothing", "a0", 1 },
    { "uint16 of three bytes", "a3010101", 0 },
    { "uint32", "c401010101", 1 },
    { "uint32 of five bytes", "c50101010101", 0 },
    { "int32", "0401ffffffff", 1 },
    { "int32 of five bytes", "0501ffffffffff", 0 },
    { "uint64", "08020102030405060708", 1 },
    { "uint64 of nine bytes", "0902010203040506070809", 0 },
    { "uint128", "10030102030405060708090a0b0c0d0e0f10", 1 },
    { "uint128 of 17 bytes", "11030102030405060708090a0b0c0d0e0f1011", 0 },
    { "true", "0107", 1 },
    { "neither true nor false", "0207", 0 },
    { "a map", "e24161c10141624163", 1 },
    { "a map without its last value", "e24161c1014162", 0 },
    { "a map with a number as a key", "e1c1014161", 0 },
    { "a map with a map as a key", "e1e04161", 0 },
    { "an empty map", "e0", 1 },
    { "an array", "0204c101c102", 1 },
    { "an array that is short", "0304c101c102", 0 },
    { "an array of 16 million that are not there", "1f04ffffff", 0 },
    { "an array with a pointer that is cut off", "0204416120", 0 },
    { "an array with its text again", "020441612002", 1 },
    { "a key by pointer", "02044161e120024162", 1 },
    { "a key by pointer to a number", "0204c101e120024162", 0 },
    { "a pointer outside", "20ff", 0 },
    { "a pointer behind itself", "200141", 0 },
    { "a pointer to itself", "2000", 0 },
    { "a pointer to a pointer", "0304416120022004", 0 },
    { "an array that has itself", "01042000", 0 },
    { "a map that has itself", "e141612000", 0 },
    { "a long pointer", "3800000000", 0 },
    { "no known type", "0005", 0 },
    { "type 7 once more", "0000", 0 },
    { "a container", "0006", 0 },
    { "type 200", "00c8", 0 },
    { "nothing", "", 0 },
    { "a type cut off", "00", 0 },
};

static const char *prove_value(const void *bytes, size_t len, apr_uint64_t budget)
{
    unsigned char *proved = calloc(1, len / 8 + 1);
    geo_check_part_t part = { .bytes = bytes, .len = len, .proved = proved, .budget = budget };
    apr_size_t at = 0;
    const char *wrong = geo_check_value(&part, &at);

    free(proved);
    return wrong;
}

START_TEST(value)
{
    unsigned char bytes[64];
    size_t len = unit_bytes(bytes, values[_i].hex), cut;
    char *copy = unit_copy(bytes, len);
    const char *wrong = prove_value(copy, len, 1000);

    ck_assert_msg((!wrong) == values[_i].is_good, "%s: %s", values[_i].what, wrong ? wrong : "is taken");
    free(copy);
    for (cut = 0; cut < len; ++cut) {
        copy = unit_copy(bytes, cut);
        ck_assert_msg(prove_value(copy, cut, 1000) != NULL, "%s: taken with %d bytes", values[_i].what, (int)cut);
        free(copy);
    }
}
END_TEST

/* Arrays of one in arrays of one: a reader that calls itself for each would need a large stack. */
START_TEST(deep)
{
    static unsigned char bytes[2 * 1000001];
    int levels[] = { 1, 30, 62, 64, 65, 1000, 1000000 }, i, j;

    for (i = 0; i < UNIT_COUNT(levels); ++i) {
        for (j = 0; j < levels[i]; ++j) {
            put(bytes + 2 * (size_t)j, "\x01\x04", 2);
        }
        bytes[2 * (size_t)levels[i]] = 0x40;
        ck_assert_int_eq(!prove_value(bytes, 2 * (size_t)levels[i] + 1, 10000000), levels[i] <= 62);
    }
}
END_TEST

/* Each array has the one before twice: 2^30 values for a reader that follows them all. Proved once
 * each, that is 30; where it is not noted what was proved, as in what a file says of itself, it ends as well. */
START_TEST(doubled)
{
    unsigned char bytes[8 + 30 * 6] = { 0x41, 'a' };
    geo_check_part_t part = { .bytes = bytes, .budget = 10000 };
    size_t len = 2, last = 0, i;
    apr_size_t at;

    for (i = 0; i < 30; ++i) {
        unsigned char array[6] = { 0x02, 0x04, 0x20, (unsigned char)last, 0x20, (unsigned char)last };

        memcpy(bytes + len, array, sizeof(array));
        last = len;
        len += sizeof(array);
    }
    part.len = len;
    part.proved = calloc(1, len / 8 + 1);
    at = last;
    ck_assert_ptr_eq((void *)geo_check_value(&part, &at), NULL);
    ck_assert_uint_gt(part.budget, 10000 - 200);
    free(part.proved);
    part.proved = NULL;
    at = last;
    ck_assert_ptr_ne((void *)geo_check_value(&part, &at), NULL);
}
END_TEST

/* Wide, and within one another: a lookup would walk over all of it. */
START_TEST(wide)
{
    size_t len = 5 + GEO_CHECK_VALUES_MAX + 1, n;
    unsigned char *bytes = calloc(1, len);

    for (n = GEO_CHECK_VALUES_MAX - 2; n <= GEO_CHECK_VALUES_MAX + 1; ++n) {
        size_t size = n - 285;

        put(bytes, "\x1e\x04", 2);
        bytes[2] = (unsigned char)(size >> 8);
        bytes[3] = (unsigned char)size;
        memset(bytes + 4, 0x40, n);
        ck_assert_int_eq(!prove_value(bytes, 4 + n, 1000000), n < GEO_CHECK_VALUES_MAX);
    }
    free(bytes);
}
END_TEST

/* --- trees */

/* What a file says of itself: node_count, record_size, ip_version, and the rest that libmaxminddb wants. */
static size_t put_meta(unsigned char *to, apr_uint32_t nodes, int bits, int version)
{
    static const char mark[] = "\xab\xcd\xefMaxMind.com\xe9\x4anode_count\xc4";
    static const char rest[] = "\x4d" "database_type\x41t\x49languages\x01\x04\x42" "en\x5b"
        "binary_format_major_version\xa1\x02\x5b" "binary_format_minor_version\xa0\x4b" "build_epoch\x04\x02"
        "\x60\x00\x00\x00\x4b" "description\xe0";
    size_t len = sizeof(mark) - 1;

    memcpy(to, mark, len);
    to[len++] = (unsigned char)(nodes >> 24);
    to[len++] = (unsigned char)(nodes >> 16);
    to[len++] = (unsigned char)(nodes >> 8);
    to[len++] = (unsigned char)nodes;
    put(to + len, "\x4brecord_size\xa1", 13);
    to[len + 13] = (unsigned char)bits;
    put(to + len + 14, "\x4aip_version\xa1", 12);
    to[len + 26] = (unsigned char)version;
    memcpy(to + len + 27, rest, sizeof(rest) - 1);
    return len + 27 + sizeof(rest) - 1;
}

static void put_record(unsigned char *node, int bits, int side, apr_uint32_t record)
{
    unsigned char *at = node + (side ? bits / 4 - bits / 8 : 0);
    int shift = bits == 32 ? 24 : 16;

    for (; shift >= 0; shift -= 8) {
        *at++ = (unsigned char)(record >> shift);
    }
    if (bits == 28) {
        node[3] |= (unsigned char)(side ? record >> 24 : record >> 24 << 4);
    }
}

/* A database of these nodes, each with two records, and one entry, "x", at the data's first byte. */
static size_t put_tree(unsigned char *to, const apr_uint32_t *records, apr_uint32_t nodes, int bits, int version)
{
    size_t tree = nodes * (size_t)bits / 4;
    apr_uint32_t i;

    memset(to, 0, tree + 16);
    for (i = 0; i < nodes; ++i) {
        put_record(to + i * (size_t)bits / 4, bits, 0, records[2 * i]);
        put_record(to + i * (size_t)bits / 4, bits, 1, records[2 * i + 1]);
    }
    put(to + tree + 16, "\x41x", 2);
    return tree + 18 + put_meta(to + tree + 18, nodes, bits, version);
}

static const struct {
    const char *what;
    apr_uint32_t nodes, records[8];
    int is_good;
} trees[] = {
    { "nothing and an entry", 1, { 1, 17 }, 1 },
    { "two levels", 2, { 1, 2, 18, 2 }, 1 },
    { "the same node twice", 2, { 1, 1, 18, 2 }, 1 },
    { "two ways to one node, of different lengths", 3, { 1, 2, 2, 3, 19, 3 }, 1 },
    { "a node that nobody points to", 3, { 1, 3, 3, 19, 4000, 0 }, 1 },
    { "the root below itself", 1, { 0, 1 }, 0 },
    { "a circle", 3, { 1, 3, 2, 3, 1, 3 }, 0 },
    { "a node below itself", 2, { 2, 1, 2, 1 }, 0 },
    { "the gap, first byte", 1, { 1, 2 }, 0 },
    { "the gap, last byte", 1, { 1, 16 }, 0 },
    { "the entry's second byte, no value", 1, { 1, 18 }, 0 },
    { "behind the data", 1, { 1, 19 }, 0 },
    { "far behind it", 1, { 1, 0xffffff }, 0 },
};

START_TEST(tree)
{
    static const int bits[] = { 24, 28, 32 };
    unsigned char bytes[512];
    apr_pool_t *p;
    MMDB_s mmdb;
    int i, version;

    apr_pool_create(&p, NULL);
    for (i = 0; i < UNIT_COUNT(bits); ++i) {
        for (version = 4; version <= 6; version += 2) {
            size_t len = put_tree(bytes, trees[_i].records, trees[_i].nodes, bits[i], version);
            char *copy = unit_copy(bytes, len);
            const char *wrong = geo_try_prove(copy, len);

            ck_assert_msg((!wrong) == trees[_i].is_good, "%s: %s", trees[_i].what, wrong ? wrong : "is taken");
            if (!wrong) {
                ck_assert(geo_try_open(&mmdb, copy, len));
                ck_assert_int_ge(geo_try_read(&mmdb, p), 0);
                MMDB_close(&mmdb);
            }
            free(copy);
        }
    }
    apr_pool_destroy(p);
}
END_TEST

/* Chains of nodes: as many as an address has bits, and one more. Both records of a node are the next one:
 * to walk over all ways would take for ever. */
START_TEST(chain)
{
    static const struct {
        apr_uint32_t nodes;
        int version, is_good;
    } chains[] = { { 32, 4, 1 }, { 33, 4, 0 }, { 33, 6, 1 }, { 128, 6, 1 }, { 129, 6, 0 }, { 5000, 6, 0 } };
    apr_uint32_t records[10000], i;
    unsigned char *bytes = malloc(50000);
    int c;

    for (c = 0; c < UNIT_COUNT(chains); ++c) {
        for (i = 0; i < chains[c].nodes; ++i) {
            records[2 * i] = records[2 * i + 1] = i + 1;
        }
        ck_assert_int_eq(!geo_try_prove(bytes, put_tree(bytes, records, chains[c].nodes, 24, chains[c].version)),
                         chains[c].is_good);
    }
    free(bytes);
}
END_TEST

/* Entries further on than 24 bits reach: the upper four of 28 are elsewhere in a node. */
START_TEST(far)
{
    static const int bits[] = { 28, 28, 32, 32 };
    const apr_uint32_t entry = 0x1234567;
    apr_uint32_t records[] = { 1, 1 };
    unsigned char *bytes = calloc(1, entry + 512), meta[256];
    geo_value_t asked = { &geo_try_paths[0], NULL };
    usher_cidr_address_t address = { 0, 0xffff00000000 };
    apr_pool_t *p;
    MMDB_s mmdb;
    size_t nodes, len;
    int i;

    apr_pool_create(&p, NULL);
    for (i = 0; i < UNIT_COUNT(bits); ++i) {
        records[i & 1] = 1 + 16 + entry;
        records[!(i & 1)] = 1;
        nodes = (size_t)bits[i] / 4;
        put_tree(meta, records, 1, bits[i], 4);
        memcpy(bytes, meta, nodes + 18);
        put(bytes + nodes + 16 + entry, "\x41y", 2);
        len = nodes + 18 + entry + put_meta(bytes + nodes + 18 + entry, 1, bits[i], 4);
        ck_assert_ptr_eq((void *)geo_try_prove(bytes, len), NULL);
        ck_assert(geo_try_open(&mmdb, bytes, len));
        address.low = i & 1 ? 0xffffff000000 : 0xffff00000000;
        ck_assert_int_eq(geo_read(&mmdb, address, &asked, 1, NULL, p), GEO_FOUND);
        ck_assert_pstr_eq(asked.text, "y");
        MMDB_close(&mmdb);
        memset(bytes, 0, nodes + 18);
    }
    free(bytes);
    apr_pool_destroy(p);
}
END_TEST

/* What it says of itself is not so. */
START_TEST(lies)
{
    static const apr_uint32_t records[] = { 1, 2, 18, 2 };
    static const struct {
        apr_uint32_t nodes;
        int bits, version;
    } told[] = { { 1, 24, 6 }, { 3, 24, 6 }, { 0, 24, 6 }, { 0xffffffff, 24, 6 }, { 0x55555556, 24, 6 }, { 2, 28, 6 },
                 { 2, 32, 6 }, { 2, 0, 6 }, { 2, 20, 6 }, { 2, 24, 0 }, { 2, 24, 5 } };
    unsigned char bytes[512];
    size_t len = put_tree(bytes, records, 2, 24, 6);
    int i;

    ck_assert_ptr_eq((void *)geo_try_prove(bytes, len), NULL);
    bytes[12 + 5] = 1;
    ck_assert_ptr_ne((void *)geo_try_prove(bytes, len), NULL);
    bytes[12 + 5] = 0;
    for (i = 0; i < UNIT_COUNT(told); ++i) {
        len = 12 + 18 + put_meta(bytes + 12 + 18, told[i].nodes, told[i].bits, told[i].version);
        ck_assert_ptr_ne((void *)geo_try_prove(bytes, len), NULL);
    }
}
END_TEST

/* --- whole files */

#define FILE_MAX 65536
#define FILES_MAX 32

static struct {
    char name[64];
    size_t len;
    unsigned char *bytes;
} files[FILES_MAX];
static int count;

/* Those of the corpus that MaxMind's writer made. */
static void load_files(void)
{
    const char *srcdir = getenv("USHER_SRCDIR");
    char dir[2048], path[4096];
    struct dirent *entry;
    DIR *corpus;

    snprintf(dir, sizeof(dir), "%s/t/fuzz/corpus/geo", srcdir ? srcdir : ".");
    corpus = opendir(dir);
    while (corpus && count < FILES_MAX && (entry = readdir(corpus)) != NULL) {
        FILE *file;

        if (strncmp(entry->d_name, "whole-", 6) != 0) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        file = fopen(path, "rb");
        if (file) {
            files[count].bytes = malloc(FILE_MAX);
            files[count].len = fread(files[count].bytes, 1, FILE_MAX, file);
            snprintf(files[count].name, sizeof(files[count].name), "%.60s", entry->d_name);
            ++count;
            fclose(file);
        }
    }
    if (corpus) {
        closedir(corpus);
    }
}

START_TEST(whole)
{
    apr_pool_t *p;
    MMDB_s mmdb;
    int i;

    ck_assert_int_ge(count, 8);
    apr_pool_create(&p, NULL);
    for (i = 0; i < count; ++i) {
        const char *wrong = geo_try_prove(files[i].bytes, files[i].len);

        ck_assert_msg(!wrong, "%s: %s", files[i].name, wrong);
        ck_assert(geo_try_open(&mmdb, files[i].bytes, files[i].len));
        ck_assert_int_ge(geo_try_read(&mmdb, p), 2);
        MMDB_close(&mmdb);
    }
    apr_pool_destroy(p);
}
END_TEST

/* Cut off anywhere: within the last values of what it says of itself, too. */
START_TEST(cut)
{
    int i;
    size_t len;

    for (i = 0; i < count; ++i) {
        for (len = 0; len < files[i].len; ++len) {
            char *copy = unit_copy(files[i].bytes, len);

            ck_assert_msg(geo_try_prove(copy, len) != NULL, "%s: taken with %d bytes", files[i].name, (int)len);
            free(copy);
        }
    }
}
END_TEST

/* Each bit flipped: it is refused, or a good database. */
START_TEST(flipped)
{
    int i, taken = 0, refused = 0;
    apr_pool_t *p;
    size_t bit;

    apr_pool_create(&p, NULL);
    for (i = 0; i < count; ++i) {
        unsigned char *copy = (unsigned char *)unit_copy(files[i].bytes, files[i].len);
        MMDB_s mmdb;

        for (bit = 0; bit < 8 * files[i].len; bit += 1 + (files[i].len > 2000) * 6) {
            copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
            if (geo_try_prove(copy, files[i].len)) {
                ++refused;
            }
            else {
                ++taken;
                ck_assert(geo_try_open(&mmdb, copy, files[i].len));
                ck_assert_msg(geo_try_read(&mmdb, p) >= 0, "%s: bit %d", files[i].name, (int)bit);
                MMDB_close(&mmdb);
                apr_pool_clear(p);
            }
            copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        free(copy);
    }
    ck_assert_int_gt(refused, 1000);
    ck_assert_int_gt(taken, 1000);
    apr_pool_destroy(p);
}
END_TEST

/* --- what is read */

static const struct {
    const char *file, *address, *says;
    geo_path_t path;
    int prefix;
} told[] = {
    { "whole-country-4-24", "127.0.0.2", "JP", { { "country", "iso_code" } }, 32 },
    { "whole-country-4-24", "192.0.2.77", "JP", { { "country", "iso_code" } }, 24 },
    { "whole-country-4-24", "127.0.0.1", NULL, { { "country", "iso_code" } }, 32 },
    { "whole-country-4-24", "2001:db8:1::1", NULL, { { "country", "iso_code" } }, 0 },
    { "whole-city-6-28", "::ffff:203.0.113.9", "US", { { "country", "iso_code" } }, 24 },
    { "whole-city-6-28", "2001:db8:2::9", "DE-2", { { "subdivisions", "1", "iso_code" } }, 48 },
    { "whole-city-6-28", "2001:db8:2::9", "50.93330", { { "location", "latitude" } }, 48 },
    { "whole-city-6-28", "2001:db8:2::9", NULL, { { "subdivisions" } }, 48 },
    { "whole-city-6-28", "2001:db8:2::9", NULL, { { "subdivisions", "2", "iso_code" } }, 48 },
    { "whole-city-6-28", "127.0.0.2", "Tokyo", { { "city", "names", "en" } }, 32 },
    { "whole-asn-6-32", "::1", "64505", { { "autonomous_system_number" } }, 128 },
    { "whole-asn-6-32", "198.51.100.1", "Example Net DE", { { "autonomous_system_organization" } }, 24 },
    { "whole-anonymous-6-24", "127.0.0.5", "1", { { "is_tor_exit_node" } }, 32 },
    { "whole-types-6-24", "::1", "1", { { "boolean" } }, 128 },
    { "whole-types-6-24", "::1", "42.12346", { { "double" } }, 128 },
    { "whole-types-6-24", "::1", "1.50000", { { "float" } }, 128 },
    { "whole-types-6-24", "::1", "-268435456", { { "int32" } }, 128 },
    { "whole-types-6-24", "::1", "100", { { "uint16" } }, 128 },
    { "whole-types-6-24", "::1", "4294967295", { { "uint32" } }, 128 },
    { "whole-types-6-24", "::1", "1152921504606846976", { { "uint64" } }, 128 },
    { "whole-types-6-24", "::1", "0x01000000000000000000000000000000", { { "uint128" } }, 128 },
    { "whole-types-6-24", "::1", "one  two: 3", { { "lines" } }, 128 },
    { "whole-types-6-24", "::1", "a b", { { "bytes" } }, 128 },
    { "whole-types-6-24", "::1", "\xe2\x98\xba", { { "utf8_string" } }, 128 },
    { "whole-types-6-24", "::1", "", { { "empty" } }, 128 },
    { "whole-types-6-24", "::1", "300", { { "array", "-1" } }, 128 },
    { "whole-types-6-24", "::1", "second", { { "maps", "1", "name" } }, 128 },
    { "whole-types-6-24", "::1", "deep", { { "within", "names", "en" } }, 128 },
    { "whole-types-6-24", "::1", NULL, { { "uint16", "x" } }, 128 },
};

START_TEST(says)
{
    usher_cidr_range_t range;
    geo_value_t asked = { &told[_i].path, "untouched" };
    apr_pool_t *p;
    MMDB_s mmdb;
    int i = 0, prefix = -1;

    apr_pool_create(&p, NULL);
    while (i < count && strcmp(files[i].name, told[_i].file) != 0) {
        ++i;
    }
    ck_assert_int_lt(i, count);
    ck_assert(geo_try_open(&mmdb, files[i].bytes, files[i].len));
    ck_assert(usher_cidr_parse(&range, told[_i].address, strlen(told[_i].address)));
    ck_assert_int_ne(geo_read(&mmdb, range.first, &asked, 1, &prefix, p), GEO_UNUSABLE);
    ck_assert_pstr_eq(asked.text, told[_i].says);
    if (strcmp(told[_i].address, "127.0.0.1") != 0) {
        ck_assert_int_eq(prefix, told[_i].prefix);
    }
    MMDB_close(&mmdb);
    apr_pool_destroy(p);
}
END_TEST

/* Of what a database has values, wherever it stands in an entry, and not what only ends so. */
START_TEST(keys)
{
    static const struct {
        const char *file, *key;
        int has;
    } rows[] = {
        { "whole-country-4-24", "country", 1 }, { "whole-country-4-24", "iso_code", 1 },
        { "whole-country-4-24", "registered_country", 1 }, { "whole-country-4-24", "untry", 0 },
        { "whole-country-4-24", "count", 0 }, { "whole-country-4-24", "continent", 1 },
        { "whole-country-4-24", "autonomous_system_number", 0 },
        { "whole-country-4-24", "twenty-nine-characters-of-key", 0 },
    };
    MMDB_s mmdb;
    int i = 0;

    while (i < count && strcmp(files[i].name, rows[_i].file) != 0) {
        ++i;
    }
    ck_assert_int_lt(i, count);
    ck_assert(geo_try_open(&mmdb, files[i].bytes, files[i].len));
    ck_assert_int_eq(geo_read_has_key(&mmdb, rows[_i].key), rows[_i].has);
    MMDB_close(&mmdb);
}
END_TEST
#define KEYS 8

START_TEST(countries)
{
    static const char none[][3] = { "UK", "EU", "EL", "AP", "JX", "AB", "QL", "ZY", "jp", "J1", "1J", "A", "" };
    static const char some[][3] = { "JP", "GB", "GR", "AD", "ZW", "SS", "XK", "AA", "QM", "QZ", "QA", "ZZ" };
    char code[3] = "";
    int i, all = 0;

    for (i = 0; i < UNIT_COUNT(none); ++i) {
        ck_assert_msg(!geo_country_is_one(none[i]), "%s", none[i]);
        ck_assert(*geo_country_remedy(none[i]));
    }
    for (i = 0; i < UNIT_COUNT(some); ++i) {
        ck_assert_msg(geo_country_is_one(some[i]), "%s", some[i]);
    }
    ck_assert_pstr_eq(geo_country_remedy("UK"), "write GB");
    for (code[0] = 'A'; code[0] <= 'Z'; ++code[0]) {
        for (code[1] = 'A'; code[1] <= 'Z'; ++code[1]) {
            all += geo_country_is_one(code);
        }
    }
    ck_assert_int_eq(all, 249 + 1 + 14 + 26 + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("geo");
    TCase *parts = tcase_create("parts"), *all = tcase_create("files");

    apr_initialize();
    load_files();
    tcase_add_loop_test(parts, value, 0, UNIT_COUNT(values));
    tcase_add_test(parts, deep);
    tcase_add_test(parts, doubled);
    tcase_add_test(parts, wide);
    tcase_add_loop_test(parts, tree, 0, UNIT_COUNT(trees));
    tcase_add_test(parts, chain);
    tcase_add_test(parts, far);
    tcase_add_test(parts, lies);
    tcase_add_test(all, whole);
    tcase_add_test(all, cut);
    tcase_add_test(all, flipped);
    tcase_add_loop_test(all, says, 0, UNIT_COUNT(told));
    tcase_add_loop_test(all, keys, 0, KEYS);
    tcase_add_test(parts, countries);
    tcase_set_timeout(all, 300);
    suite_add_tcase(suite, parts);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
