/* The tree of a database: each way through it ends in time, at nothing or at a good entry. */
#include "geo_check.h"

#include <string.h>

#define LEVELS_MAX 128

/* A node on the way from the root. */
typedef struct {
    apr_uint32_t node;
    unsigned char side;   /* the next one to look at: 0, 1; 2: both are done */
    unsigned char height; /* nodes on the longest way from here, but for this one */
} check_place_t;

/* Heights of nodes that are done, one byte each (0: not yet), then a bit for each byte of the data. */
static apr_size_t check_heights_room(const geo_check_t *check)
{
    return check->nodes;
}

apr_size_t geo_check_room(const geo_check_t *check)
{
    return check_heights_room(check) + check->data.len / 8 + 1;
}

/* Half a node: left (0) or right (1). Of 28 bits the upper four are in the byte between. */
static apr_uint32_t check_record(const geo_check_t *check, apr_uint32_t node, int side)
{
    apr_size_t bytes = check->bits / 4;
    const unsigned char *at = check->bytes + node * bytes + side * (bytes - bytes / 2);
    apr_uint32_t low = (apr_uint32_t)at[0] << 16 | (apr_uint32_t)at[1] << 8 | at[2];

    if (check->bits == 32) {
        return low << 8 | at[3];
    }
    if (check->bits == 28) {
        unsigned char middle = check->bytes[node * bytes + 3];

        return (apr_uint32_t)(side ? middle & 15 : middle >> 4) << 24 | low;
    }
    return low;
}

/* Where a way ends: at nothing, or at an entry. */
static const char *check_end(geo_check_t *check, apr_uint32_t record)
{
    apr_uint32_t start = record - check->nodes - 16; /* where there is none, far behind the data */
    apr_size_t at = start;
    const char *wrong;

    if (record == check->nodes) {
        return NULL;
    }
    if (start >= check->data.len) {
        return "its tree points to no entry";
    }
    if (check->data.proved[start >> 3] >> (start & 7) & 1) {
        return NULL;
    }
    wrong = geo_check_value(&check->data, &at);
    if (wrong) {
        check->wrong_at = (apr_size_t)(check->data.bytes - check->bytes) + at;
    }
    return wrong;
}

/* A node below another one: it is looked at now, or it was already, then its height counts. */
static const char *check_down(const geo_check_t *check, const unsigned char *heights,
                              check_place_t *place, apr_uint32_t depth, check_place_t **next)
{
    apr_uint32_t height = heights[place[1].node];

    if (depth + 1 + (height ? height : 1) > check->levels) {
        return "its tree has a way with no end";
    }
    if (!height) {
        place[1].side = place[1].height = 0;
        *next = place + 1;
    }
    else if (height > place->height) {
        place->height = (unsigned char)height;
    }
    return NULL;
}

const char *geo_check_all(geo_check_t *check, unsigned char *room)
{
    check_place_t places[LEVELS_MAX + 1];
    check_place_t *place = places;
    unsigned char *heights = room;
    const char *wrong = NULL;

    check->data.proved = room + check_heights_room(check);
    check->data.budget = 2 * (apr_uint64_t)check->data.len;
    places[0] = (check_place_t) { 0, 0, 0 };
    while (!wrong) {
        if (place->side == 2) {
            heights[place->node] = (unsigned char)(place->height + 1);
            if (place == places) {
                break;
            }
            --place;
            if (heights[place[1].node] > place->height) {
                place->height = heights[place[1].node];
            }
            continue;
        }
        place[1].node = check_record(check, place->node, place->side++);
        check->wrong_at = place->node * (apr_size_t)(check->bits / 4);
        wrong = place[1].node < check->nodes
                ? check_down(check, heights, place, (apr_uint32_t)(place - places), &place)
                : check_end(check, place[1].node);
    }
    return wrong;
}
