/* The jail and its counts under six processes that ban, free, look and count, while a seventh kills them at random and
 * starts others. Who is banned all the time is always found, what is found is whole and belongs to its
 * address, and nothing that was counted is lost. Four seconds at least; a minute with USHER_LONG=1. */
#include "banjail.h"
#include "hammer.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "usher_clock.h"

enum { WORKERS = 6, STEADY = 200, CHANGING = 2000, COUNTED = 40, HOUR = 3600000 };

typedef struct {
    _Atomic apr_uint64_t wrong, missed, found, entered;
    _Atomic apr_uint64_t counted[COUNTED]; /* after it was added */
} result_t;

static result_t *result;

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static void tell_time(void)
{
    unit_now = usher_clock_system()->boot_now() / 1000;
}

static ban_prefix_t prefix_of(unsigned int id)
{
    usher_cidr_address_t address = { APR_UINT64_C(0x20010db800000000) + id, 0 };

    return ban_prefix_of(address, id % 3 ? 64 : 128);
}

/* All of it tells whose it is. */
static ban_t ban_of(unsigned int id, unsigned int version)
{
    ban_t ban = { .prefix = prefix_of(id), .since = unit_now, .until = unit_now + HOUR, .forget_at = unit_now + HOUR,
                  .version = version, .events = id * 7 + version, .times = (apr_uint16_t)id };

    apr_snprintf(ban.name, sizeof(ban.name), "n%u-%u", id, version);
    apr_snprintf(ban.why, sizeof(ban.why), "of %u, which is long enough to be torn: %080u", id, version);
    return ban;
}

/* The text is a record of its own, and may be an older or newer one of the same address, or not there. */
static int is_whole(unsigned int id, const ban_t *ban)
{
    ban_t is = ban_of(id, (unsigned int)ban->version), why = is;
    const char *last = strrchr(ban->why, ' ');

    if (last) {
        why = ban_of(id, (unsigned int)strtoul(last, NULL, 10));
    }
    return !strcmp(is.name, ban->name) && is.events == ban->events && is.times == ban->times
           && is.prefix.bits == ban->prefix.bits && is.prefix.address.high == ban->prefix.address.high
           && is.prefix.address.low == ban->prefix.address.low && (!ban->why[0] || (last && !strcmp(why.why, ban->why)));
}

/* @return 1: banned */
static int look(unsigned int id)
{
    ban_prefix_t prefix = prefix_of(id);
    ban_t ban;

    if (!ban_jail_find(prefix.address, &ban)) {
        return 0;
    }
    result->wrong += !is_whole(id, &ban);
    ++result->found;
    return 1;
}

static void enter(unsigned int id, unsigned int version)
{
    ban_t ban = ban_of(id, version);

    result->entered += ban_jail_put(&ban) != BAN_JAIL_FULL;
}

static void count(unsigned int id)
{
    ban_prefix_t prefix = prefix_of(id);

    ban_count_add(1, &prefix, 1, HOUR);
    ++result->counted[id];
}

static int see(void *baton, const ban_t *ban)
{
    result->wrong += !is_whole((unsigned int)(ban->prefix.address.high & 0xffffff), ban);
    return 1;
}

static void work(unsigned int seed)
{
    for (;;) {
        unsigned int id = STEADY + (unsigned int)rand_r(&seed) % CHANGING;

        tell_time();
        switch (rand_r(&seed) % 8) {
        case 0: {
            ban_prefix_t prefix = prefix_of(id);

            ban_jail_remove(&prefix);
            break;
        }
        case 1:
        case 2:
            enter(id, (unsigned int)rand_r(&seed) % 100000);
            break;
        case 3:
            result->missed += !look((unsigned int)rand_r(&seed) % STEADY);
            break;
        case 4:
        case 5:
            count((unsigned int)rand_r(&seed) % COUNTED);
            break;
        default:
            look(id);
        }
        if (rand_r(&seed) % 4096 == 0) {
            ban_jail_each(see, NULL);
        }
    }
}

static apr_uint64_t told(void)
{
    apr_uint64_t sum = 0;
    int i;

    for (i = 0; i < COUNTED; ++i) {
        sum += result->counted[i];
    }
    return sum;
}

/* Else it shows nothing. */
static int is_enough(unsigned int kills)
{
    return kills > 20 && result->entered > 10000 && result->found > 10000 && told() > 10000;
}

/* @return how often somebody was killed */
static unsigned int hammer(void)
{
    hammer_t until = hammer_begin(4, 60);
    pid_t workers[WORKERS];
    unsigned int seed = 1, kills = 0;
    int i;

    for (i = 0; i < WORKERS; ++i) {
        workers[i] = hammer_start(work, seed++);
    }
    while (hammer_on(&until, is_enough(kills))) {
        usleep((useconds_t)rand_r(&seed) % 4000);
        i = rand_r(&seed) % WORKERS;
        hammer_end(workers[i]);
        workers[i] = hammer_start(work, seed++);
        ++kills;
    }
    for (i = 0; i < WORKERS; ++i) {
        hammer_end(workers[i]);
    }
    ck_assert_msg(is_enough(kills), "%u killed, %d entered, %d found, %d counted", kills,
                  (int)result->entered, (int)result->found, (int)told());
    return kills + WORKERS;
}

START_TEST(kills)
{
    apr_uint64_t counted = 0;
    unsigned int killed, id;

    result = shared(sizeof(result_t));
    unit_memory = shared;
    unit_jail(2 * 1024 * 1024, 65536);
    tell_time();
    for (id = 0; id < STEADY; ++id) {
        enter(id, id);
    }
    killed = hammer();
    tell_time(); /* nothing that they wrote is later */

    ck_assert_uint_eq(result->wrong, 0);
    ck_assert_uint_eq(result->missed, 0);

    /* One at most was added by each who was killed before he told of it. */
    for (id = 0; id < COUNTED; ++id) {
        ban_prefix_t prefix = prefix_of(id);
        apr_uint64_t sum = ban_count_add(1, &prefix, 0, HOUR);

        ck_assert_uint_ge(sum, result->counted[id]);
        counted += sum;
    }
    ck_assert_uint_le(counted, told() + killed);

    /* A second later all places serve again. */
    unit_now += 1001;
    for (id = 0; id < STEADY + CHANGING; ++id) {
        enter(id, id);
        ck_assert(look(id));
    }
    ck_assert_uint_eq(result->wrong, 0);
    ck_assert_int_eq(unit_logged, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jail_hammer");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, kills);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
