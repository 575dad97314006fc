/* Bans in the store: what outlives httpd, and reaches other nodes.
 *
 * A child puts a ban into the jail first, without a version, and hands it to the store without
 * waiting. What the store tells comes back through store_apply(), with a version: then it is there.
 * What got lost on this way (the store was down, its queue full, a child killed) is found by the
 * tick, as it has no version, and handed over again.
 *
 * Two nodes may ban the same address at the same time: one of them hears of a conflict, with what
 * the other one did. The ban that lasts longer stays, and what somebody does by hand. */
#include "ban_record.h"
#include "usher_siphash.h"

APLOG_USE_MODULE(usher_ban);

/* Tombstones: a node that was away for longer may still know the ban. ms */
#define TOMBSTONE_LIFE (APR_INT64_C(30) * 86400 * 1000)
/* A record is kept until its ban is forgotten; at least so long, that others hear of its end. ms */
#define LIFE_MIN 600000
#define LIFE_MAX (APR_INT64_C(100) * 365 * 86400 * 1000)
/* Bans are the same that end at the same time, as near as clocks are. ms */
#define SAME 2000
/* How often a change that conflicts with another one is tried while somebody waits. */
#define TRIES 4

/* How often the tick looks for bans that are in no store. ms */
#define WALK_INTERVAL 60000
/* What was handed over less than so long ago may still be on its way. ms */
#define ON_ITS_WAY 2000
/* How much the tick hands over: so many, for so long. */
#define TICK_MAX 4096
#define TICK_TIME (APR_USEC_PER_SEC / 4)
/* A walk over a great jail takes its time: so many times that until the next one. */
#define WALK_REST 20
#define QUEUE_PAUSE (APR_USEC_PER_SEC / 200)

/* At most so many lines in this time about records that cannot be taken. ms */
#define LINES_MAX 20
#define LINES_TIME 600000

/* The piece "ban-store": atomics only, of all children. */
#define OWN 1024
typedef struct {
    _Atomic apr_uint32_t unsent; /* there is a ban that the store did not take */
    apr_uint32_t pad;
    _Atomic apr_uint64_t own[OWN]; /* changes of this node that it has not heard of yet, by their texts' hashes */
} store_shm_t;
_Static_assert(sizeof(store_shm_t) == 8 + 8 * OWN, "part of a segment's layout");

static const usher_memory_spec_t store_spec = {
    .name = "ban-store",
    .layout = 1,
    .size = sizeof(store_shm_t),
    .size_min = sizeof(store_shm_t),
    .size_max = 65536,
};

static usher_memory_t *memory;
static store_shm_t *shm;
static int is_child;     /* else: the parent, at the start: what is told is of an earlier life */
static unsigned int told; /* bans that the parent was told of, and that are not over */

/* --- changes of this node */

static apr_uint64_t store_hash(const char *key, const char *value)
{
    static const unsigned char name[USHER_SIPHASH_KEY_SIZE] = "usher-ban-store";
    char text[BAN_PREFIX_SIZE + BAN_RECORD_SIZE];
    int len = apr_snprintf(text, sizeof(text), "%s %s", key, value ? value : "");

    return usher_siphash(name, text, (apr_size_t)len).word[0] | 1;
}

/* Who gets it back shall not tell of it as of another node's. */
static void store_note_own(const char *key, const char *value)
{
    apr_uint64_t hash = store_hash(key, value);

    if (shm) {
        atomic_store_explicit(&shm->own[hash % OWN], hash, memory_order_relaxed);
    }
}

static int store_is_own(const char *key, const char *value)
{
    apr_uint64_t hash = store_hash(key, value);

    return shm && atomic_compare_exchange_strong(&shm->own[hash % OWN], &hash, 0);
}

/* Wait, and so try again after a conflict; or hand it over. */
static usher_store_result_e store_change(usher_store_change_t *change, apr_interval_time_t wait)
{
    const usher_clock_t *clock = usher_clock_system();
    apr_time_t until = clock->boot_now() + wait;
    usher_store_result_e result;
    int tries = TRIES;

    store_note_own(change->key, change->value);
    do {
        result = ban_core->store_put(change, 1, wait);
        change->was = change->version;
        wait = until - clock->boot_now();
    } while (result == USHER_STORE_CONFLICT && wait > 0 && --tries);
    return result;
}

static apr_int64_t store_life(const ban_t *ban)
{
    apr_int64_t now = ban_now();

    if (ban->forget_at > now + LIFE_MAX) {
        return 0;
    }
    return ban->forget_at > now + LIFE_MIN ? ban->forget_at - now : LIFE_MIN;
}

usher_store_result_e ban_store_put(const ban_t *ban, apr_interval_time_t wait)
{
    char key[BAN_PREFIX_SIZE], value[BAN_RECORD_SIZE];
    usher_store_change_t change = {
        .kind = &ban_store_kind, .key = ban_prefix_format(key, &ban->prefix), .value = value,
        .was = ban->version, .life = store_life(ban),
    };
    usher_store_result_e result;

    if (!ban_record_write(value, ban, usher_clock_system())) {
        return USHER_STORE_DOWN;
    }
    result = store_change(&change, wait);
    if (shm && wait <= 0 && result != USHER_STORE_HANDED) {
        atomic_store(&shm->unsent, 1);
    }
    return result;
}

usher_store_result_e ban_store_delete(const ban_prefix_t *prefix, apr_uint64_t version,
                                      apr_interval_time_t wait)
{
    char key[BAN_PREFIX_SIZE];
    usher_store_change_t change = {
        .kind = &ban_store_kind, .key = ban_prefix_format(key, prefix), .was = version,
        .life = TOMBSTONE_LIFE,
    };

    return store_change(&change, wait);
}

/* --- what the store tells */

/* Only one thread of a process is here: the store's, or the parent. */
static int store_may_log(void)
{
    static apr_int64_t since;
    static int lines;
    apr_int64_t now = ban_now();

    if (!since || now - since >= LINES_TIME) {
        since = now;
        lines = 0;
    }
    return lines < LINES_MAX && ++lines;
}

/* Whether one moment is later than another by more than clocks differ; BAN_FOREVER, and any garbage, as well. */
static int store_is_later(apr_int64_t a, apr_int64_t b)
{
    return a > b && (apr_uint64_t)a - (apr_uint64_t)b > SAME;
}

/* A ban that the store has not got, and that another one in it is no reason to give up. What somebody did by hand is
 * one as long as that lasts. */
static int store_stays(const ban_t *there, const ban_t *record)
{
    return !there->version && store_is_later(there->until, record->until)
           && (record->origin != BAN_BY_HAND || there->origin == BAN_BY_HAND
               || !store_is_later(record->until, there->since));
}

/* In place of what the store has. */
static void store_put_over(const ban_t *there, const ban_t *record)
{
    ban_t ban = *there;

    ban.version = record->version;
    ban.times = ban.times < record->times ? record->times : ban.times;
    ban_store_put(&ban, 0);
}

/* Somebody else has banned, prolonged or ended it. */
static void store_tell(const ban_t *was, const ban_t *ban, server_rec *s)
{
    apr_int64_t now = ban_now();
    int was_on = was && was->until > now, is_on = ban->until > now;

    if (is_on && (!was_on || store_is_later(ban->until, was->until) || store_is_later(was->until, ban->until))) {
        ban_export_tell(&ban->prefix);
        ban_audit(BAN_AUDIT_BAN, ban, "node", NULL, s);
    }
    else if (was_on && !is_on) {
        ban_export_tell(&ban->prefix);
        ban_audit(BAN_AUDIT_REMOVE, ban, "node", NULL, s);
    }
}

static void store_apply_ban(const ban_t *was, const ban_t *ban, int is_own, server_rec *s)
{
    if (was && was->version >= ban->version) {
        return;
    }
    if (was && store_stays(was, ban)) {
        store_put_over(was, ban);
        return;
    }
    ban_jail_put(ban);
    if (!is_child) {
        told += ban->until > ban_now();
    }
    else if (!is_own) {
        store_tell(was, ban, s);
    }
    else if (!was || was->version) {
        ban_export_tell(&ban->prefix); /* by hand: it was not in the jail before */
    }
}

static void store_apply_end(const ban_t *was, const ban_t *gone, int is_own, server_rec *s)
{
    ban_t ended = was ? *was : *gone;

    if (was && !is_own && !was->version) {
        store_put_over(was, gone);
        return;
    }
    if (was && was->version > gone->version) {
        return;
    }
    ended.until = ended.forget_at = ban_now();
    ban_jail_remove(&gone->prefix);
    if (is_child && is_own) {
        ban_export_tell(&gone->prefix);
    }
    else if (is_child && was) {
        store_tell(was, &ended, s);
    }
}

static void store_apply(const usher_store_record_t *record, server_rec *s, apr_pool_t *ptemp)
{
    ban_t ban = { .version = 0 }, was;
    int is_known, is_own;

    if (!ban_prefix_parse(&ban.prefix, record->key, strlen(record->key))
        || (record->value && !ban_record_read(&ban, record->key, record->value, usher_clock_system()))) {
        if (store_may_log()) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(8070)
                         "the store has a ban of \"%s\" that no Usher of this release has written: it is "
                         "left out; find out who writes there", ap_escape_logitem(ptemp, record->key));
        }
        return;
    }
    ban.version = record->version;
    is_known = ban_jail_get(&ban.prefix, &was) && !was.is_trial;
    is_own = is_child && store_is_own(record->key, record->value);
    if (record->value) {
        store_apply_ban(is_known ? &was : NULL, &ban, is_own, s);
    }
    else {
        store_apply_end(is_known ? &was : NULL, &ban, is_own, s);
    }
}

const usher_store_kind_t ban_store_kind = { "ban", store_apply };

/* --- the tick: what the store has not got */

typedef struct {
    apr_array_header_t *bans; /* ban_t */
    apr_int64_t now;
    int are_more;
} store_walk_t;

static int store_see(void *baton, const ban_t *ban)
{
    store_walk_t *walk = baton;

    if (!ban->version && !ban->is_trial) {
        if (walk->now - ban->since < ON_ITS_WAY || walk->bans->nelts >= TICK_MAX) {
            walk->are_more = 1;
        }
        else {
            APR_ARRAY_PUSH(walk->bans, ban_t) = *ban;
        }
    }
    return walk->bans->nelts < TICK_MAX;
}

/* @return 0: the store takes no more now */
static int store_send(const ban_t *ban, apr_time_t until)
{
    usher_store_result_e result;

    while ((result = ban_store_put(ban, 0)) == USHER_STORE_BUSY
           && usher_clock_system()->boot_now() < until) {
        apr_sleep(QUEUE_PAUSE);
    }
    return result == USHER_STORE_HANDED || result == USHER_STORE_DOWN;
}

/* @param rests_until  gets when the next walk may be
 * @return 0: there is more to do */
static int store_catch_up(apr_pool_t *ptemp, apr_int64_t *rests_until)
{
    apr_time_t until = usher_clock_system()->boot_now() + TICK_TIME;
    store_walk_t walk = { apr_array_make(ptemp, 64, sizeof(ban_t)), ban_now(), 0 };
    int i, goes = 1;

    ban_jail_each(store_see, &walk);
    *rests_until = ban_now() + (ban_now() - walk.now) * WALK_REST;
    for (i = 0; i < walk.bans->nelts && goes; ++i) {
        goes = store_send(&APR_ARRAY_IDX(walk.bans, i, ban_t), until);
    }
    return goes && !walk.are_more;
}

/* Whether it is time to look. */
static int store_is_due(apr_int64_t up_since, apr_int64_t now)
{
    static apr_uint32_t changes; /* one thread of one child is here */
    static apr_int64_t looked_at, was_up_since;
    apr_uint32_t seen = ban_jail_changes();

    if (!atomic_exchange(&shm->unsent, 0) && up_since == was_up_since
        && (changes == seen || now - looked_at < WALK_INTERVAL)) {
        return 0;
    }
    changes = seen;
    looked_at = now;
    was_up_since = up_since;
    return 1;
}

static void store_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    static apr_int64_t rests_until;
    usher_store_state_t store = { 0 };
    apr_int64_t now = ban_now();

    ban_core->store_state(&store);
    if (!shm || !store.is_up || now < rests_until || !store_is_due(store.since, now)) {
        return;
    }
    if (!store_catch_up(ptemp, &rests_until)) {
        atomic_store(&shm->unsent, 1);
    }
}

/* --- hooks */

int ban_store_check_config(server_rec *s)
{
    memory = ban_core->memory_declare(&store_spec);
    return ban_core->store_keep(&ban_store_kind, s);
}

void ban_store_post_config(void)
{
    static const usher_tick_work_t work = {
        .name = "bans that the store has not got", .where = USHER_TICK_CHILD, .run = store_tick,
    };
    apr_uint64_t size = 0;
    void *base = memory ? ban_core->memory_base(memory, &size) : NULL;

    shm = base && size >= sizeof(store_shm_t) ? base : NULL;
    is_child = 0;
    told = 0;
    ban_core->tick_add(&work);
}

void ban_store_started(server_rec *s)
{
    if (told) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(8071)
                     "%u bans of the store are in force again", told);
    }
}

void ban_store_child_init(void)
{
    is_child = 1;
}
