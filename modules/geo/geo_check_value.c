/* The values of a database: each is whole, and what it points to as well. */
#include "geo_check.h"

#include <string.h>

/* Maps, arrays and pointers that are within one another. */
#define DEPTH_MAX 64

/* A map, an array, or what a pointer points to, that is being walked over. */
typedef struct {
    apr_size_t start;   /* its own first byte */
    apr_size_t at;      /* the next value's */
    apr_uint32_t left;  /* values to come: of a map its keys, too */
    apr_uint32_t walked; /* values within it so far, those of its maps and arrays, too */
    unsigned char is_map;
    unsigned char is_target; /* a pointer's: where it ends means nothing for what has the pointer */
} check_level_t;

static apr_uint32_t check_number(const unsigned char *bytes, apr_size_t n)
{
    apr_uint32_t number = 0;

    while (n--) {
        number = number << 8 | *bytes++;
    }
    return number;
}

/* Sizes from 29 on have one to three bytes of their own. */
static apr_uint32_t check_size(const unsigned char *bytes, apr_size_t extra)
{
    static const apr_uint32_t from[] = { 0, 29, 285, 65821 };

    return from[extra] + check_number(bytes, extra);
}

/* The upper bits of short pointers are in the first byte. */
static apr_uint32_t check_pointer(unsigned char control, const unsigned char *bytes, apr_size_t n)
{
    static const apr_uint32_t from[] = { 0, 0, 2048, 526336, 0 };
    apr_uint32_t upper = n < 4 ? (apr_uint32_t)(control & 7) << (8 * n) : 0;

    return (upper | check_number(bytes, n)) + from[n];
}

/* How many bytes follow; -1: there is no such value. */
static apr_int64_t check_body(const geo_check_head_t *head)
{
    static const struct {
        signed char most, least;
    } sizes[] = {
        [GEO_CHECK_DOUBLE] = { 8, 8 }, [GEO_CHECK_UINT16] = { 2, 0 }, [GEO_CHECK_UINT32] = { 4, 0 },
        [GEO_CHECK_INT32] = { 4, 0 }, [GEO_CHECK_UINT64] = { 8, 0 }, [GEO_CHECK_UINT128] = { 16, 0 },
        [GEO_CHECK_FLOAT] = { 4, 4 },
    };

    switch (head->type) {
    case GEO_CHECK_TEXT:
    case GEO_CHECK_BYTES:
        return head->size;
    case GEO_CHECK_MAP:
    case GEO_CHECK_ARRAY:
        return 0;
    case GEO_CHECK_BOOLEAN:
        return head->size < 2 ? 0 : -1;
    case GEO_CHECK_DOUBLE:
    case GEO_CHECK_UINT16:
    case GEO_CHECK_UINT32:
    case GEO_CHECK_INT32:
    case GEO_CHECK_UINT64:
    case GEO_CHECK_UINT128:
    case GEO_CHECK_FLOAT:
        return head->size >= (apr_uint32_t)sizes[head->type].least
               && head->size <= (apr_uint32_t)sizes[head->type].most ? (apr_int64_t)head->size : -1;
    case GEO_CHECK_POINTER:
    default:
        return -1;
    }
}

const char *geo_check_head(const geo_check_part_t *part, apr_size_t at, geo_check_head_t *head)
{
    static const char short_text[] = "a value is cut off";
    apr_size_t extra;
    unsigned char control;
    apr_int64_t body;

    if (at >= part->len) {
        return short_text;
    }
    control = part->bytes[at++];
    memset(head, 0, sizeof(*head));
    head->type = (geo_check_type_e)(control >> 5);
    if (head->type == GEO_CHECK_POINTER) {
        extra = (control >> 3 & 3) + 1u;
        if (extra > part->len - at) {
            return short_text;
        }
        head->pointer = check_pointer(control, part->bytes + at, extra);
        head->body = head->next = at + extra;
        return NULL;
    }
    if (!head->type) {
        if (at >= part->len) {
            return short_text;
        }
        head->type = (geo_check_type_e)(7u + part->bytes[at++]);
        if (head->type < GEO_CHECK_INT32) {
            return "a value is of no known type";
        }
    }
    extra = (control & 31) > 28 ? (control & 31) - 28u : 0;
    if (extra > part->len - at) {
        return short_text;
    }
    head->size = extra ? check_size(part->bytes + at, extra) : control & 31;
    head->body = at + extra;
    body = check_body(head);
    if (body < 0) {
        return "a value is of no known type, or of a size that its type does not have";
    }
    if ((apr_uint64_t)body > part->len - head->body) {
        return short_text;
    }
    head->next = head->body + (apr_size_t)body;
    return NULL;
}

static int check_is_proved(const geo_check_part_t *part, apr_size_t at)
{
    return part->proved && part->proved[at >> 3] >> (at & 7) & 1;
}

static void check_note(geo_check_part_t *part, apr_size_t at)
{
    if (part->proved) {
        part->proved[at >> 3] |= (unsigned char)(1u << (at & 7));
    }
}

/* Take a level off: all of it is good. What follows it is where its parent goes on. */
static const char *check_leave(geo_check_part_t *part, check_level_t *level, check_level_t *parent)
{
    check_note(part, level->start);
    if (level->is_target) {
        return NULL;
    }
    parent->at = level->at;
    parent->walked += level->walked;
    return parent->walked > GEO_CHECK_VALUES_MAX ? "a map or array has too much in it" : NULL;
}

/* What a key, or the target of a pointer, may not be. */
static const char *check_fits(const geo_check_head_t *head, int is_key, int is_target)
{
    if (is_target && head->type == GEO_CHECK_POINTER) {
        return "a pointer points to a pointer";
    }
    if (is_key && head->type != GEO_CHECK_TEXT && head->type != GEO_CHECK_POINTER) {
        return "a key is no text";
    }
    return NULL;
}

/* A pointer; where its target has to be walked over as well, that is the next level. */
static const char *check_follow(geo_check_part_t *part, const geo_check_head_t *from, int is_key,
                                check_level_t *next)
{
    geo_check_head_t target;
    const char *wrong = geo_check_head(part, from->pointer, &target);

    wrong = wrong ? wrong : check_fits(&target, is_key, 1);
    if (!wrong && !check_is_proved(part, from->pointer)) {
        next->start = next->at = from->pointer;
        next->left = 1;
        next->is_map = 0;
        next->is_target = 1;
    }
    return wrong;
}

/* One value of a level; what has to be walked over then is the next level. */
static const char *check_step(geo_check_part_t *part, check_level_t *level, check_level_t *next)
{
    geo_check_head_t head;
    const char *wrong = geo_check_head(part, level->at, &head);
    int is_key = level->is_map && !(level->left & 1);

    next->left = 0;
    next->walked = 0;
    wrong = wrong ? wrong : check_fits(&head, is_key, 0);
    if (wrong) {
        return wrong;
    }
    if (!part->budget--) {
        part->budget = 0;
        return "values that lie in one another, or point to one another, are too many";
    }
    if (++level->walked > GEO_CHECK_VALUES_MAX) {
        return "a map or array has too much in it";
    }
    if (head.type == GEO_CHECK_POINTER) {
        wrong = check_follow(part, &head, is_key, next);
    }
    else if (head.size && (head.type == GEO_CHECK_MAP || head.type == GEO_CHECK_ARRAY)) {
        next->start = level->at;
        next->at = head.body;
        next->is_map = head.type == GEO_CHECK_MAP;
        next->left = next->is_map ? 2 * head.size : head.size;
        next->is_target = 0;
    }
    if (!wrong) {
        level->at = head.next;
        --level->left;
    }
    return wrong;
}

const char *geo_check_value(geo_check_part_t *part, apr_size_t *at)
{
    check_level_t levels[DEPTH_MAX];
    check_level_t *level = levels;
    const char *wrong = NULL;

    levels[0] = (check_level_t) { .start = *at, .at = *at, .left = 1, .is_target = 1 };
    for (;;) {
        while (!wrong && !level->left && level > levels) {
            wrong = check_leave(part, level, level - 1);
            --level;
        }
        if (wrong || !level->left) {
            break;
        }
        if (level == levels + DEPTH_MAX - 1) {
            wrong = "values lie too deep in one another, or point to one another in a circle";
            break;
        }
        wrong = check_step(part, level, level + 1);
        level += !wrong && level[1].left;
    }
    *at = level->at;
    if (!wrong) {
        check_note(part, levels[0].start);
    }
    return wrong;
}
