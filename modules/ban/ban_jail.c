/* The bans, and those that are over but remembered: the piece "bans".
 *
 * A header, a table of bans by prefix, and one of what they were made for, which has room for a part of
 * them. Bans and trials of one prefix are different entries. An address is looked up once for each length of
 * prefix that has bans; the header knows which, and until when the last one of each lasts. */
#include <apr_general.h>
#include <stdatomic.h>

#include "ban_private.h"
#include "usher_table.h"

APLOG_USE_MODULE(usher_ban);

#define LAYOUT 1
/* 168,000 bans, 39,000 with what they were made for */
#define SIZE ((apr_uint64_t)24 * 1024 * 1024)
#define SIZE_MIN 65536
#define LENGTHS 129
/* Longer than any machine runs: forever. ms */
#define LIFE_MAX ((apr_int64_t)1 << 45)
/* A place in the table that is being written by others is tried so often. */
#define TRIES 3
/* So many lengths of prefixes are looked up at once: their memory comes at the same time. */
#define BATCH 8
/* That there is no room is said so often, ms. */
#define SAY_AGAIN 600000

/* Spaces of entries */
enum { REAL, TRIAL, KINDS };
/* Nobody is looked up under lengths that only the others have. */
enum { V4, V6, FAMILIES };

typedef struct {
    _Atomic apr_uint64_t lengths[KINDS][FAMILIES][3]; /* bits: those that there were bans of */
    _Atomic apr_int64_t until[KINDS][FAMILIES][LENGTHS]; /* the last ban of each; bans that are removed stay in it */
    _Atomic apr_uint64_t totals[BAN_TOTALS];
    _Atomic apr_uint64_t lost;
    _Atomic apr_int64_t said_at;
    _Atomic apr_uint32_t changes;
    _Atomic apr_uint32_t any;
} jail_shm_t;

#define HEADER_SIZE 8192
_Static_assert(sizeof(jail_shm_t) <= HEADER_SIZE, "part of a segment's layout");

typedef struct {
    usher_cidr_address_t address;
    apr_int64_t since, until, forget_at;
    apr_uint64_t version;
    apr_uint32_t events;
    apr_uint16_t times;
    unsigned char bits;
    unsigned char origin_and_trial;
    char name[BAN_NAME_SIZE];
} jail_value_t;
_Static_assert(sizeof(jail_value_t) == 80 && sizeof(jail_value_t) <= USHER_TABLE_VALUE_MAX
               && BAN_WHY_SIZE <= USHER_TABLE_VALUE_MAX, "part of a segment's layout");

/* The piece as this process sees it. */
typedef struct {
    jail_shm_t *shm; /* NULL: there is none */
    usher_table_t bans, whys;
    usher_table_space_t ban_space, why_space;
} jail_t;

static usher_memory_t *memory;
static jail_t jail;

/* Where there is no room: a ban that is on is worth more than any that is only remembered; among the ones as among the
 * others what lasts longer is. Of any bytes. */
static apr_int64_t jail_worth(const void *value, apr_int64_t now)
{
    const jail_value_t *entry = value;

    if (entry->until > now) {
        return entry->until;
    }
    return entry->forget_at > 0 ? entry->forget_at - BAN_FOREVER : APR_INT64_MIN;
}

static void jail_open(jail_t *to, void *base, apr_uint64_t size)
{
    apr_uint64_t bans_size = (size - HEADER_SIZE) / 4 * 3 / 64 * 64;
    char *bans = (char *)base + HEADER_SIZE;

    to->shm = base;
    usher_table_open(&to->bans, bans, bans_size, sizeof(jail_value_t), LIFE_MAX);
    usher_table_open(&to->whys, bans + bans_size, size - HEADER_SIZE - bans_size, BAN_WHY_SIZE, LIFE_MAX);
    to->bans.worth = jail_worth;
    to->ban_space = usher_table_space(&to->bans, "ban", 3);
    to->why_space = usher_table_space(&to->whys, "why", 3);
}

static void jail_init(void *base, apr_uint64_t size)
{
    unsigned char secret[USHER_TABLE_SECRET_SIZE];
    jail_t made;

    jail_open(&made, base, size);
    apr_generate_random_bytes(secret, sizeof(secret));
    usher_table_init(&made.bans, secret);
    usher_table_init(&made.whys, secret);
}

/* What old children count or ban from now on is lost with their memory. */
static apr_status_t jail_carry(void *to_base, apr_uint64_t to_size, const void *from_base, apr_uint64_t from_size,
                               apr_uint32_t from_layout, usher_memory_carried_t *carried)
{
    apr_uint64_t kept, dropped;
    jail_t to, from;

    if (from_layout != LAYOUT || from_size < SIZE_MIN) {
        return APR_ENOTIMPL;
    }
    jail_open(&to, to_base, to_size);
    jail_open(&from, (void *)(apr_uintptr_t)from_base, from_size);
    memcpy(to.shm, from.shm, sizeof(jail_shm_t));
    usher_table_carry(&to.bans, &from.bans, ban_now(), &carried->kept, &carried->dropped);
    usher_table_carry(&to.whys, &from.whys, ban_now(), &kept, &dropped);
    return APR_SUCCESS;
}

static const usher_memory_spec_t jail_spec = {
    .name = "bans",
    .layout = LAYOUT,
    .size = SIZE,
    .size_min = SIZE_MIN,
    .size_max = (apr_uint64_t)16 * 1024 * 1024 * 1024,
    .init = jail_init,
    .carry = jail_carry,
};

void ban_jail_init(void)
{
    memory = NULL;
    jail.shm = NULL;
}

void ban_jail_check_config(void)
{
    memory = ban_core->memory_declare(&jail_spec);
}

void ban_jail_post_config(void)
{
    apr_uint64_t size;
    void *base = memory ? ban_core->memory_base(memory, &size) : NULL;

    if (base) {
        jail_open(&jail, base, size);
    }
}

/* --- entries */

static int jail_is_v4(usher_cidr_address_t address)
{
    return !address.high && address.low >> 32 == 0xffff;
}

/* The bytes of a key; nothing between them that is not set. */
typedef struct {
    usher_cidr_address_t address;
    apr_uint64_t bits_and_kind;
} jail_name_t;

static usher_table_key_t jail_key(const usher_table_space_t *space, const ban_prefix_t *prefix, int kind)
{
    jail_name_t name = { prefix->address, (apr_uint64_t)prefix->bits << 1 | (apr_uint64_t)kind };

    return usher_table_key(space, &name, sizeof(name));
}

/* Texts come from memory that any child may write to. */
static void jail_text(char *to, const char *from, apr_size_t size)
{
    apr_size_t i;

    for (i = 0; i + 1 < size && from[i]; ++i) {
        to[i] = '?';
        if (from[i] >= ' ' && from[i] <= '~') {
            to[i] = from[i];
        }
    }
    to[i] = '\0';
}

static void jail_why(ban_t *ban)
{
    usher_table_key_t key = jail_key(&jail.why_space, &ban->prefix, ban->is_trial);
    char why[BAN_WHY_SIZE];

    ban->why[0] = '\0';
    if (usher_table_get(&jail.whys, &key, ban_now(), 0, why)) {
        jail_text(ban->why, why, sizeof(why));
    }
}

/* All but why. @return 0: it is garbage */
static int jail_read(ban_t *ban, const jail_value_t *value)
{
    ban_prefix_t prefix;

    if (value->bits >= LENGTHS) {
        return 0;
    }
    prefix = ban_prefix_of(value->address, value->bits);
    ban->prefix = prefix;
    ban->since = value->since;
    ban->until = value->until;
    ban->forget_at = value->forget_at > value->until ? value->forget_at : value->until;
    ban->version = value->version;
    ban->events = value->events;
    ban->times = value->times;
    ban->origin = value->origin_and_trial >> 1 ? BAN_BY_HAND : BAN_BY_RULE;
    ban->is_trial = value->origin_and_trial & 1;
    jail_text(ban->name, value->name, sizeof(ban->name));
    return 1;
}

static jail_value_t jail_value(const ban_t *ban)
{
    jail_value_t value = {
        .address = ban->prefix.address,
        .since = ban->since,
        .until = ban->until,
        .forget_at = ban->forget_at,
        .version = ban->version,
        .events = ban->events,
        .times = ban->times,
        .bits = ban->prefix.bits,
        .origin_and_trial = (unsigned char)((ban->origin == BAN_BY_HAND) << 1 | !!ban->is_trial),
    };

    apr_cpystrn(value.name, ban->name, sizeof(value.name));
    return value;
}

static int jail_look(const ban_prefix_t *prefix, int kind, apr_int64_t now, jail_value_t *value)
{
    usher_table_key_t key = jail_key(&jail.ban_space, prefix, kind);

    return usher_table_get(&jail.bans, &key, now, 0, value) && value->bits == prefix->bits;
}

/* --- looking */

int ban_jail_is_empty(void)
{
    return !jail.shm || !atomic_load_explicit(&jail.shm->any, memory_order_relaxed);
}

apr_uint32_t ban_jail_changes(void)
{
    return jail.shm ? atomic_load_explicit(&jail.shm->changes, memory_order_acquire) : 0;
}

/* Where an address is looked up: one of the prefixes that it falls under. */
typedef struct {
    ban_prefix_t prefix;
    usher_table_key_t key;
} jail_question_t;

/* The next lengths of which there are bans, up to BATCH. @param from  the first that was not asked for; moves */
static int jail_ask(jail_question_t questions[BATCH], usher_cidr_address_t address, int kind, apr_int64_t now,
                    unsigned int *from)
{
    int n = 0, family = jail_is_v4(address) ? V4 : V6;

    while (*from < LENGTHS && n < BATCH) {
        apr_uint64_t lengths = atomic_load_explicit(&jail.shm->lengths[kind][family][*from / 64],
                                                    memory_order_relaxed) >> *from % 64;

        *from = lengths ? *from + (unsigned int)__builtin_ctzll(lengths) : (*from / 64 + 1) * 64;
        if (lengths && *from < LENGTHS) {
            if (atomic_load_explicit(&jail.shm->until[kind][family][*from], memory_order_relaxed) > now) {
                questions[n].prefix = ban_prefix_of(address, *from);
                questions[n].key = jail_key(&jail.ban_space, &questions[n].prefix, kind);
                usher_table_prefetch(&jail.bans, &questions[n++].key);
            }
            ++*from;
        }
    }
    return n;
}

/* The one of a kind that an address falls under and that lasts longest; 0: none */
static int jail_find_kind(usher_cidr_address_t address, int kind, apr_int64_t now, jail_value_t *longest)
{
    jail_question_t questions[BATCH];
    unsigned int from = 0;
    int i, n, found = 0;

    while ((n = jail_ask(questions, address, kind, now, &from)) > 0) {
        for (i = 0; i < n; ++i) {
            jail_value_t value;

            if (usher_table_get(&jail.bans, &questions[i].key, now, 0, &value)
                && value.bits == questions[i].prefix.bits && value.until > now
                && (!found || value.until > longest->until)) {
                *longest = value;
                found = 1;
            }
        }
    }
    return found;
}

int ban_jail_find(usher_cidr_address_t address, ban_t *ban)
{
    jail_value_t value;
    apr_int64_t now;

    if (ban_jail_is_empty()) {
        return 0;
    }
    now = ban_now();
    if (!jail_find_kind(address, REAL, now, &value) && !jail_find_kind(address, TRIAL, now, &value)) {
        return 0;
    }
    if (ban && jail_read(ban, &value)) {
        jail_why(ban);
    }
    return 1;
}

int ban_jail_get(const ban_prefix_t *prefix, ban_t *ban)
{
    jail_value_t value;
    apr_int64_t now = ban_now();

    if (ban_jail_is_empty()
        || (!jail_look(prefix, REAL, now, &value) && !jail_look(prefix, TRIAL, now, &value))
        || !jail_read(ban, &value)) {
        return 0;
    }
    jail_why(ban);
    return 1;
}

typedef struct {
    int (*see)(void *baton, const ban_t *ban);
    void *baton;
} jail_walk_t;

static int jail_see(void *baton, const void *value)
{
    jail_walk_t *walk = baton;
    ban_t ban;

    if (!jail_read(&ban, value)) {
        return 1;
    }
    jail_why(&ban);
    return walk->see(walk->baton, &ban);
}

void ban_jail_each(int (*see)(void *baton, const ban_t *ban), void *baton)
{
    jail_walk_t walk = { see, baton };

    if (!ban_jail_is_empty()) {
        usher_table_each(&jail.bans, ban_now(), jail_see, &walk);
    }
}

/* --- changing */

/* Once in a while, of all children. */
static void jail_say_full(void)
{
    apr_int64_t now = ban_now(), said_at = atomic_load(&jail.shm->said_at);

    if ((!said_at || now - said_at >= SAY_AGAIN || said_at > now)
        && atomic_compare_exchange_strong(&jail.shm->said_at, &said_at, now)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(8001)
                     "there is no room for more bans: those that are over are forgotten, and of the others those "
                     "that last longest stay. \"UsherMemory bans\" with more than %" APR_UINT64_T_FMT
                     " bytes gives more room",
                     (apr_uint64_t)(jail.bans.bucket_size) * jail.bans.count / 3 * 4);
    }
}

static void jail_lost(void)
{
    atomic_fetch_add_explicit(&jail.shm->lost, 1, memory_order_relaxed);
    jail_say_full();
}

/* Lookups ask for its length from now on. */
static void jail_note_length(const ban_t *ban, int family)
{
    unsigned int bits = ban->prefix.bits;
    _Atomic apr_int64_t *until = &jail.shm->until[ban->is_trial != 0][family][bits];
    apr_int64_t was = atomic_load(until);

    while (was < ban->until && !atomic_compare_exchange_weak(until, &was, ban->until)) {
    }
    atomic_fetch_or(&jail.shm->lengths[ban->is_trial != 0][family][bits / 64], APR_UINT64_C(1) << bits % 64);
}

/* IPv4 is a part of IPv6: "::/0" has both. */
static void jail_note(const ban_t *ban)
{
    const usher_cidr_address_t v4 = { 0, APR_UINT64_C(0xffff00000000) };
    ban_prefix_t holds = ban_prefix_of(v4, ban->prefix.bits < 96 ? ban->prefix.bits : 96);
    ban_prefix_t is = ban_prefix_of(ban->prefix.address, holds.bits);

    if (is.address.high == holds.address.high && is.address.low == holds.address.low) {
        jail_note_length(ban, V4);
    }
    if (!jail_is_v4(ban->prefix.address)) {
        jail_note_length(ban, V6);
    }
    atomic_store(&jail.shm->any, 1);
}

static void jail_put_why(const ban_t *ban, apr_int64_t now, apr_int64_t life)
{
    usher_table_key_t key = jail_key(&jail.why_space, &ban->prefix, ban->is_trial != 0);
    char why[BAN_WHY_SIZE] = "";

    if (!ban->why[0]) {
        usher_table_remove(&jail.whys, &key, now);
        return;
    }
    jail_text(why, ban->why, sizeof(why));
    usher_table_put(&jail.whys, &key, now, life, why);
}

static ban_jail_put_e jail_enter(const ban_t *ban, apr_int64_t now, apr_int64_t life)
{
    usher_table_key_t key = jail_key(&jail.ban_space, &ban->prefix, ban->is_trial != 0);
    jail_value_t value = jail_value(ban), was;
    int was_active = usher_table_get(&jail.bans, &key, now, 0, &was) && was.until > now;
    usher_table_put_e did = USHER_TABLE_BUSY;
    int try;

    for (try = 0; try < TRIES && did == USHER_TABLE_BUSY; ++try) {
        did = usher_table_put(&jail.bans, &key, now, life, &value);
    }
    switch (did) {
    case USHER_TABLE_SAME:
        return BAN_JAIL_SAME;
    case USHER_TABLE_BUSY:
    case USHER_TABLE_FULL:
        jail_lost();
        return BAN_JAIL_FULL;
    case USHER_TABLE_EVICTED:
        jail_lost();
        return BAN_JAIL_NEW;
    default:
        return was_active ? BAN_JAIL_CHANGED : BAN_JAIL_NEW;
    }
}

/* @return 1: it was there */
static int jail_take_out(const ban_prefix_t *prefix, int kind)
{
    usher_table_key_t key = jail_key(&jail.ban_space, prefix, kind);
    usher_table_key_t why = jail_key(&jail.why_space, prefix, kind);
    apr_int64_t now = ban_now();

    usher_table_remove(&jail.whys, &why, now);
    if (!usher_table_remove(&jail.bans, &key, now)) {
        return 0;
    }
    atomic_fetch_add(&jail.shm->changes, 1);
    return 1;
}

ban_jail_put_e ban_jail_put(const ban_t *ban)
{
    apr_int64_t now = ban_now(), forget_at = ban->forget_at > ban->until ? ban->forget_at : ban->until;
    ban_jail_put_e did;

    if (!jail.shm || ban->prefix.bits >= LENGTHS) {
        return BAN_JAIL_FULL;
    }
    if (forget_at <= now) {
        return jail_take_out(&ban->prefix, ban->is_trial != 0) ? BAN_JAIL_CHANGED : BAN_JAIL_SAME;
    }
    jail_note(ban);
    did = jail_enter(ban, now, forget_at - now);
    if (did == BAN_JAIL_NEW || did == BAN_JAIL_CHANGED) {
        jail_put_why(ban, now, forget_at - now);
        atomic_fetch_add(&jail.shm->changes, 1);
    }
    return did;
}

int ban_jail_remove(const ban_prefix_t *prefix)
{
    return !ban_jail_is_empty() && (jail_take_out(prefix, REAL) | jail_take_out(prefix, TRIAL));
}

/* --- numbers */

typedef struct {
    ban_jail_stats_t *stats;
    apr_int64_t now;
} jail_census_t;

static int jail_count(void *baton, const void *value)
{
    const jail_census_t *census = baton;
    const jail_value_t *entry = value;

    ++census->stats->used;
    if (entry->until > census->now) {
        ++*(entry->origin_and_trial & 1 ? &census->stats->trials : &census->stats->active);
    }
    return 1;
}

void ban_jail_stats(ban_jail_stats_t *stats)
{
    jail_census_t census = { stats, ban_now() };

    memset(stats, 0, sizeof(*stats));
    if (jail.shm) {
        stats->room = (apr_uint64_t)jail.bans.count * USHER_TABLE_PLACES;
        stats->lost = atomic_load_explicit(&jail.shm->lost, memory_order_relaxed);
        usher_table_each(&jail.bans, census.now, jail_count, &census);
    }
}

void ban_total_add(ban_total_e which)
{
    if (jail.shm) {
        atomic_fetch_add_explicit(&jail.shm->totals[which], 1, memory_order_relaxed);
    }
}

apr_uint64_t ban_total(ban_total_e which)
{
    return jail.shm ? atomic_load_explicit(&jail.shm->totals[which], memory_order_relaxed) : 0;
}
