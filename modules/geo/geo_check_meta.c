/* What a database says of itself, at its end: how large its tree is, and of which kind. */
#include "geo_check.h"

#include <string.h>

/* How far from the file's end libmaxminddb looks for the mark, and finds the last one. */
#define META_MAX 131072
#define META_MARK "\xab\xcd\xefMaxMind.com"
#define META_MARK_LEN (sizeof(META_MARK) - 1)
/* Values in it. The library makes copies of them. */
#define META_VALUES_MAX 10000

/* Zeros between the tree and the data. */
#define META_GAP 16

/* Behind the last mark. @return 0: there is none */
static apr_size_t meta_find(const unsigned char *bytes, apr_size_t len)
{
    apr_size_t low = len > META_MAX ? len - META_MAX : 0;
    apr_size_t at;

    for (at = len; at >= low + META_MARK_LEN; --at) {
        if (!memcmp(bytes + at - META_MARK_LEN, META_MARK, META_MARK_LEN)) {
            return at;
        }
    }
    return 0;
}

/* A value itself where a pointer points to it. */
static const char *meta_head(const geo_check_part_t *part, apr_size_t at, geo_check_head_t *head,
                             apr_size_t *next)
{
    const char *wrong = geo_check_head(part, at, head);

    *next = head->next;
    if (!wrong && head->type == GEO_CHECK_POINTER) {
        wrong = geo_check_head(part, head->pointer, head);
    }
    return wrong;
}

/* Behind a value that is proved to be good. */
static apr_size_t meta_skip(const geo_check_part_t *part, apr_size_t at)
{
    geo_check_head_t head;
    apr_uint64_t left = 1;

    while (left-- && !geo_check_head(part, at, &head)) {
        left += head.type == GEO_CHECK_MAP ? 2u * (apr_uint64_t)head.size
                : head.type == GEO_CHECK_ARRAY ? head.size : 0;
        at = head.next;
    }
    return at;
}

/* The value of the first such key, as the library takes it. @return 0: there is none of that type */
static int meta_value(const geo_check_part_t *part, const char *name, geo_check_type_e type,
                      geo_check_head_t *head)
{
    geo_check_head_t map, key;
    apr_size_t at, next;
    apr_uint32_t pairs;

    if (geo_check_head(part, 0, &map) || map.type != GEO_CHECK_MAP) {
        return 0;
    }
    at = map.body;
    for (pairs = map.size; pairs; --pairs) {
        if (meta_head(part, at, &key, &at)) {
            return 0;
        }
        if (key.size == strlen(name) && !memcmp(part->bytes + key.body, name, key.size)) {
            return !meta_head(part, at, head, &next) && head->type == type;
        }
        at = meta_skip(part, at);
    }
    return 0;
}

/* @return 0: there is none, too */
static apr_uint64_t meta_number(const geo_check_part_t *part, const char *name, geo_check_type_e type)
{
    geo_check_head_t head;
    apr_uint64_t number = 0;
    apr_uint32_t i;

    if (meta_value(part, name, type, &head)) {
        for (i = 0; i < head.size; ++i) {
            number = number << 8 | part->bytes[head.body + i];
        }
    }
    return number;
}

/* Whether there is a map or array of that name that has texts only. */
static int meta_is_texts(const geo_check_part_t *part, const char *name, geo_check_type_e type)
{
    geo_check_head_t head, text;
    apr_uint32_t left;
    apr_size_t at;

    if (!meta_value(part, name, type, &head)) {
        return 0;
    }
    at = head.body;
    for (left = type == GEO_CHECK_MAP ? 2 * head.size : head.size; left; --left) {
        if (meta_head(part, at, &text, &at) || text.type != GEO_CHECK_TEXT) {
            return 0;
        }
    }
    return 1;
}

/* What nobody here needs, but libmaxminddb does: without it, some of its versions lose memory. */
static int meta_is_complete(const geo_check_part_t *part)
{
    geo_check_head_t head;

    return meta_value(part, "database_type", GEO_CHECK_TEXT, &head)
           && meta_is_texts(part, "languages", GEO_CHECK_ARRAY)
           && meta_is_texts(part, "description", GEO_CHECK_MAP)
           && meta_value(part, "binary_format_minor_version", GEO_CHECK_UINT16, &head)
           && meta_number(part, "build_epoch", GEO_CHECK_UINT64);
}

static const char *meta_tree(geo_check_t *check, apr_size_t mark)
{
    static const unsigned char zeros[META_GAP];
    apr_uint64_t tree = (apr_uint64_t)check->nodes * check->bits / 4;

    check->wrong_at = mark;
    if (tree + META_GAP > mark - META_MARK_LEN) {
        return "its tree does not fit into it: it is cut off, or is no such database";
    }
    check->wrong_at = (apr_size_t)tree;
    if (memcmp(check->bytes + tree, zeros, META_GAP) != 0) {
        return "its tree does not end where it says";
    }
    check->data.bytes = check->bytes + tree + META_GAP;
    check->data.len = mark - META_MARK_LEN - META_GAP - (apr_size_t)tree;
    return NULL;
}

static const char *meta_numbers(geo_check_t *check, const geo_check_part_t *meta)
{
    apr_uint64_t version = meta_number(meta, "ip_version", GEO_CHECK_UINT16);

    if (meta_number(meta, "binary_format_major_version", GEO_CHECK_UINT16) != 2) {
        return "it is not of version 2 of MaxMind's format";
    }
    check->nodes = (apr_uint32_t)meta_number(meta, "node_count", GEO_CHECK_UINT32);
    check->bits = (apr_uint32_t)meta_number(meta, "record_size", GEO_CHECK_UINT16);
    check->levels = version == 4 ? 32 : version == 6 ? 128 : 0;
    if (!check->nodes || !check->levels
        || (check->bits != 24 && check->bits != 28 && check->bits != 32)) {
        return "its node_count, record_size or ip_version is none";
    }
    return NULL;
}

const char *geo_check_meta(geo_check_t *check, const void *bytes, apr_size_t len)
{
    geo_check_part_t meta = { .budget = META_VALUES_MAX };
    const char *wrong;
    apr_size_t mark, at = 0;

    memset(check, 0, sizeof(*check));
    check->bytes = bytes;
    check->len = len;
    if (len > GEO_CHECK_SIZE_MAX) {
        return "it is larger than 2 GB";
    }
    mark = meta_find(bytes, len);
    if (!mark) {
        return "it has no MaxMind mark at its end: it is cut off, or is no such database";
    }
    meta.bytes = check->bytes + mark;
    meta.len = len - mark;
    wrong = geo_check_value(&meta, &at);
    check->wrong_at = mark + at;
    if (wrong) {
        return wrong;
    }
    check->wrong_at = mark;
    wrong = meta_numbers(check, &meta);
    if (wrong) {
        return wrong;
    }
    if (!meta_is_complete(&meta)) {
        return "it does not tell its type, languages, description or time";
    }
    return meta_tree(check, mark);
}
