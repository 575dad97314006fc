/* How often something happened lately, by rule and prefix: the piece "ban-counts". */
#include <apr_general.h>

#include "ban_private.h"
#include "usher_windows.h"

APLOG_USE_MODULE(usher_ban);

#define LAYOUT 1
/* That there is no room is said so often, ms. */
#define SAY_AGAIN 3600000

static usher_memory_t *memory;

static void count_init(void *base, apr_uint64_t size)
{
    apr_generate_random_bytes(((usher_windows_t *)base)->secret, USHER_SIPHASH_KEY_SIZE);
}

static apr_status_t count_carry(void *to, apr_uint64_t to_size, const void *from, apr_uint64_t from_size,
                                apr_uint32_t from_layout, usher_memory_carried_t *carried)
{
    if (from_layout != LAYOUT || from_size < USHER_WINDOWS_SIZE_MIN) {
        return APR_ENOTIMPL;
    }
    usher_windows_carry(to, to_size, from, from_size, ban_now(), &carried->kept, &carried->dropped);
    return APR_SUCCESS;
}

static const usher_memory_spec_t count_spec = {
    .name = "ban-counts",
    .layout = LAYOUT,
    .size = (apr_uint64_t)8 * 1024 * 1024, /* 116,000 windows */
    .size_min = 64 * 1024,
    .size_max = (apr_uint64_t)4 * 1024 * 1024 * 1024,
    .init = count_init,
    .carry = count_carry,
};

void ban_count_init(void)
{
    memory = NULL;
}

void ban_count_check_config(void)
{
    memory = ban_core->memory_declare(&count_spec);
}

/* Another length of the window is another key: it has other parts. No bytes between the fields. */
typedef struct {
    apr_uint64_t rule;
    usher_cidr_address_t address;
    apr_uint64_t bits;
    apr_int64_t within;
} count_key_t;

static count_key_t count_key(apr_uint64_t rule, const ban_prefix_t *prefix, apr_int64_t within)
{
    within = within < USHER_WINDOWS_MIN ? USHER_WINDOWS_MIN : within > USHER_WINDOWS_MAX ? USHER_WINDOWS_MAX : within;
    return (count_key_t) { rule, prefix->address, prefix->bits, within };
}

static usher_windows_t *count_windows(apr_uint64_t *size)
{
    return memory ? ban_core->memory_base(memory, size) : NULL;
}

/* Once in a while, of all children. */
static void count_say_full(usher_windows_t *windows, apr_uint64_t size, apr_uint64_t evicted)
{
    apr_int64_t now = ban_now(), told_at = atomic_load(&windows->told_at);

    if ((!told_at || now - told_at >= SAY_AGAIN || told_at > now)
        && atomic_compare_exchange_strong(&windows->told_at, &told_at, now)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(8002)
                     "there is no room for all that rules count: %" APR_UINT64_T_FMT " clients were forgotten too early, "
                     "and may do more before they are banned. \"UsherMemory ban-counts\" with more than %"
                     APR_UINT64_T_FMT " bytes gives more room", evicted - atomic_load(&windows->told), size);
        atomic_store(&windows->told, evicted);
    }
}

apr_uint64_t ban_count_add(apr_uint64_t rule, const ban_prefix_t *prefix, apr_uint64_t amount, apr_int64_t within)
{
    count_key_t key = count_key(rule, prefix, within);
    apr_uint64_t size, sum, evicted;
    usher_windows_t *windows = count_windows(&size);

    if (!windows) {
        return amount;
    }
    sum = usher_windows_add(windows, size, &key, sizeof(key), amount, ban_now(), key.within);
    evicted = atomic_load_explicit(&windows->evicted, memory_order_relaxed);
    if (evicted != atomic_load_explicit(&windows->told, memory_order_relaxed)) {
        count_say_full(windows, size, evicted);
    }
    return sum;
}

void ban_count_clear(apr_uint64_t rule, const ban_prefix_t *prefix, apr_int64_t within)
{
    count_key_t key = count_key(rule, prefix, within);
    apr_uint64_t size;
    usher_windows_t *windows = count_windows(&size);

    if (windows) {
        usher_windows_clear(windows, size, &key, sizeof(key), ban_now());
    }
}
