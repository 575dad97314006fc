/**
 * @file  usher_admin.h
 * @brief What the administrator has said of a cluster's member at run time: no new
 *        sessions (drain), no requests at all (off), another weight.
 *
 * Lies in shared memory: fixed width, no pointers, zeros are a member of which nothing
 * was said. Any number of threads and processes may use one at the same time without a
 * lock, and be killed at any instruction; whatever stands there is understood. What
 * counts is one word; when and by whom are for people to read.
 */
#ifndef USHER_ADMIN_H
#define USHER_ADMIN_H

#include <apr.h>
#include <stdatomic.h>

/** Room for who it was, with a NUL. */
#define USHER_ADMIN_WHO_SIZE 64
#define USHER_ADMIN_WEIGHT_MAX 100
/** No weight was given: that of the configuration counts. */
#define USHER_ADMIN_WEIGHT_NONE (-1)

typedef enum {
    USHER_ADMIN_ENABLED,
    USHER_ADMIN_DRAIN, /**< requests of its sessions only */
    USHER_ADMIN_OFF    /**< no requests */
} usher_admin_e;

typedef struct usher_admin_t {
    /** The state in the lowest byte, the weight + 1 in the next one. */
    _Atomic apr_uint32_t word;
    apr_uint32_t spare;
    _Atomic apr_int64_t changed_at; /**< boot clock, ms; 0: never */
    _Atomic apr_uint64_t who[USHER_ADMIN_WHO_SIZE / 8];
} usher_admin_t;
_Static_assert(sizeof(usher_admin_t) == 80, "part of a segment's layout");

/** What was said, as a whole. */
typedef struct usher_admin_setting_t {
    usher_admin_e state;
    int weight; /**< 0 to USHER_ADMIN_WEIGHT_MAX, or USHER_ADMIN_WEIGHT_NONE */
} usher_admin_setting_t;

/** What stands there; garbage counts as nothing said. */
static inline usher_admin_setting_t usher_admin_of(apr_uint32_t word)
{
    unsigned int state = word & 0xff, weight = word >> 8;
    usher_admin_setting_t setting = { USHER_ADMIN_ENABLED, USHER_ADMIN_WEIGHT_NONE };

    if (state <= USHER_ADMIN_OFF && weight <= USHER_ADMIN_WEIGHT_MAX + 1) {
        setting.state = (usher_admin_e)state;
        setting.weight = (int)weight - 1;
    }
    return setting;
}

/** What was said of a member. Most often nothing: one load and a comparison. */
static inline usher_admin_setting_t usher_admin_get(const usher_admin_t *admin)
{
    return usher_admin_of(atomic_load_explicit(&admin->word, memory_order_relaxed));
}

/** Whether it shall get no requests. */
static inline int usher_admin_is_off(const usher_admin_t *admin)
{
    return atomic_load_explicit(&admin->word, memory_order_relaxed)
           && usher_admin_get(admin).state == USHER_ADMIN_OFF;
}

/** Whether it shall get requests of its sessions only: drained, or of weight 0. */
static inline int usher_admin_is_draining(const usher_admin_t *admin)
{
    usher_admin_setting_t setting;

    if (!atomic_load_explicit(&admin->word, memory_order_relaxed)) {
        return 0;
    }
    setting = usher_admin_get(admin);
    return setting.state == USHER_ADMIN_DRAIN || !setting.weight;
}

/** Its weight. @param configured  lbfactor of its worker, hundredths: counts where none was
 * given @return in hundredths */
static inline int usher_admin_weight(const usher_admin_t *admin, int configured)
{
    int weight;

    if (!atomic_load_explicit(&admin->word, memory_order_relaxed)) {
        return configured;
    }
    weight = usher_admin_get(admin).weight;
    return weight == USHER_ADMIN_WEIGHT_NONE ? configured : weight * 100;
}

/**
 * Say something else of a member.
 * @param from  as it was read
 * @param now   boot clock, ms
 * @param who   is cut to what there is room for
 * @return 1: done; 0: somebody else was faster, nothing is changed
 */
int usher_admin_change(usher_admin_t *admin, usher_admin_setting_t from,
                       usher_admin_setting_t to, apr_int64_t now, const char *who);

/** Who changed it last. @return @a text, with a NUL */
char *usher_admin_who(const usher_admin_t *admin, char text[USHER_ADMIN_WHO_SIZE]);

#endif /* USHER_ADMIN_H */
