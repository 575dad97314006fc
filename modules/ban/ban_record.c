/* A ban as the store has it. Who reads one believes nothing: another node, an older release or
 * a thief of the database's password may have written it. */
#include "ban_record.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

#include "usher_duration.h"
#include "usher_expiry.h"
#include "usher_rest.h"

#define ALL_BITS 128
#define V4_BITS 96 /* of what is IPv4, in front of the address */
/* No wider prefix is banned: not by mistake, and not by who can write to the store. */
#define BITS_MIN 16
#define BITS_MIN_V4 (V4_BITS + 8)
/* ms */
#define TIME_MAX (USHER_DURATION_MAX / 1000)
#define AGE_MAX (2 * TIME_MAX)

/* The bits of a word that lie behind its first so many. */
static apr_uint64_t record_behind(unsigned int bits)
{
    return bits >= 64 ? 0 : ~APR_UINT64_C(0) >> bits;
}

static int record_is_v4(usher_cidr_address_t address)
{
    return !address.high && address.low >> 32 == 0xffff;
}

/* Whether all of IPv4, or more, is in it. */
static int record_holds_v4(const ban_prefix_t *prefix)
{
    return prefix->bits <= V4_BITS && !prefix->address.high
           && !((prefix->address.low ^ APR_UINT64_C(0xffff) << 32)
                & ~record_behind(prefix->bits < 64 ? 0 : prefix->bits - 64u));
}

static int record_is_prefix(const ban_prefix_t *prefix)
{
    unsigned int bits = prefix->bits;

    return bits <= ALL_BITS && !(prefix->address.high & record_behind(bits))
           && !(prefix->address.low & record_behind(bits < 64 ? 0 : bits - 64))
           && bits >= (record_is_v4(prefix->address) ? BITS_MIN_V4 : BITS_MIN)
           && !record_holds_v4(prefix);
}

static void record_bytes(unsigned char *bytes, apr_uint64_t word)
{
    int i;

    for (i = 7; i >= 0; --i, word >>= 8) {
        bytes[i] = (unsigned char)word;
    }
}

char *ban_prefix_format(char text[BAN_PREFIX_SIZE], const ban_prefix_t *prefix)
{
    int is_v4 = prefix->bits >= V4_BITS && record_is_v4(prefix->address);
    unsigned char bytes[16];
    apr_size_t len;

    record_bytes(bytes, prefix->address.high);
    record_bytes(bytes + 8, prefix->address.low);
    inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? bytes + 12 : bytes, text, BAN_PREFIX_SIZE);
    if (prefix->bits < ALL_BITS) {
        len = strlen(text);
        apr_snprintf(text + len, BAN_PREFIX_SIZE - len, "/%d",
                     is_v4 ? prefix->bits - V4_BITS : prefix->bits);
    }
    return text;
}

int ban_prefix_parse(ban_prefix_t *prefix, const char *text, apr_size_t len)
{
    usher_cidr_range_t range;
    apr_uint64_t high, low;
    unsigned int bits = ALL_BITS;

    if (!usher_cidr_parse(&range, text, len)) {
        return 0;
    }
    high = range.first.high ^ range.last.high;
    low = range.first.low ^ range.last.low;
    bits -= (unsigned int)(__builtin_popcountll(high) + __builtin_popcountll(low));
    prefix->address = range.first;
    prefix->bits = (unsigned char)bits;
    return record_is_prefix(prefix);
}

/* How long a text in a field of shared memory is, if all of it lies between two bytes; -1 */
static int record_text_len(const char *text, apr_size_t size, char first)
{
    apr_size_t len = 0;

    while (len < size && text[len] >= first && text[len] <= '~') {
        ++len;
    }
    return len < size && !text[len] ? (int)len : -1;
}

static int record_is_sound(const ban_t *ban)
{
    return !ban->is_trial && record_is_prefix(&ban->prefix) && ban->times
           && (ban->origin == BAN_BY_RULE || ban->origin == BAN_BY_HAND)
           && record_text_len(ban->name, sizeof(ban->name), '!') > 0
           && record_text_len(ban->why, sizeof(ban->why), ' ') >= 0
           && ban->since <= ban->until && ban->until <= ban->forget_at;
}

/* A ban that is never over has a moment to count from, too. */
static apr_int64_t record_forget_at(const ban_t *ban, apr_int64_t now)
{
    return ban->forget_at > now + TIME_MAX ? now + TIME_MAX : ban->forget_at;
}

int ban_record_write(char value[BAN_RECORD_SIZE], const ban_t *given, const usher_clock_t *clock)
{
    apr_int64_t now = clock->boot_now() / 1000, forget_at;
    char text[USHER_EXPIRY_SIZE], until[32] = "never";
    usher_expiry_t expiry;
    ban_t ban = *given;

    forget_at = record_forget_at(&ban, now);
    if (!record_is_sound(&ban) || ban.since < now - AGE_MAX || ban.since > forget_at) {
        return 0;
    }
    if (ban.until <= forget_at) {
        apr_snprintf(until, sizeof(until), "%" APR_INT64_T_FMT, forget_at - ban.until);
    }
    usher_expiry_save(&expiry, clock, forget_at * 1000);
    apr_snprintf(value, BAN_RECORD_SIZE,
                 "by=%s name=%s times=%u events=%u since=%" APR_INT64_T_FMT " until=%s %s why=%s",
                 ban.origin == BAN_BY_HAND ? "hand" : "rule", ban.name, ban.times, ban.events,
                 forget_at - ban.since, until, usher_expiry_format(text, &expiry), ban.why);
    return 1;
}

/* Up to what follows, as far as it has room and consists of what it may. */
static int record_word(usher_rest_t *rest, char *to, apr_size_t size, apr_size_t len, char first)
{
    if (len >= size || len > rest->len) {
        return 0;
    }
    memcpy(to, rest->text, len);
    to[len] = '\0';
    usher_rest_take(rest, len);
    return record_text_len(to, size, first) == (int)len;
}

static int record_read_who(ban_t *ban, usher_rest_t *rest)
{
    const char *blank;
    apr_uint64_t times, events;

    ban->origin = usher_rest_skip(rest, "by=hand ") ? BAN_BY_HAND : BAN_BY_RULE;
    if ((ban->origin == BAN_BY_RULE && !usher_rest_skip(rest, "by=rule "))
        || !usher_rest_skip(rest, "name=") || !(blank = memchr(rest->text, ' ', rest->len))
        || !record_word(rest, ban->name, sizeof(ban->name), (apr_size_t)(blank - rest->text), '!')
        || !usher_rest_skip(rest, " times=") || !usher_rest_number(rest, &times, APR_UINT16_MAX)
        || !usher_rest_skip(rest, " events=") || !usher_rest_number(rest, &events, APR_UINT32_MAX)) {
        return 0;
    }
    ban->times = (apr_uint16_t)times;
    ban->events = (apr_uint32_t)events;
    return *ban->name && times;
}

/* The moment that all others count from. */
static int record_read_expiry(usher_rest_t *rest, apr_int64_t *forget_at, const usher_clock_t *clock)
{
    static const char behind[] = " why=";
    const char *end = memmem(rest->text, rest->len, behind, sizeof(behind) - 1);
    usher_expiry_t expiry;

    if (!end || usher_expiry_parse(&expiry, rest->text, (apr_size_t)(end - rest->text)) != APR_SUCCESS) {
        return 0;
    }
    usher_rest_take(rest, (apr_size_t)(end - rest->text) + sizeof(behind) - 1);
    *forget_at = usher_expiry_load(&expiry, clock) / 1000;
    return 1;
}

static int record_read_times(ban_t *ban, usher_rest_t *rest, const usher_clock_t *clock)
{
    apr_uint64_t since, until = 0;
    int never;

    if (!usher_rest_skip(rest, " since=") || !usher_rest_number(rest, &since, TIME_MAX + AGE_MAX)
        || !usher_rest_skip(rest, " until=")) {
        return 0;
    }
    never = usher_rest_skip(rest, "never ");
    if ((!never && (!usher_rest_number(rest, &until, since) || !usher_rest_skip(rest, " ")))
        || !record_read_expiry(rest, &ban->forget_at, clock)) {
        return 0;
    }
    ban->since = ban->forget_at - (apr_int64_t)since;
    ban->until = ban->forget_at - (apr_int64_t)until;
    if (never) {
        ban->until = ban->forget_at = BAN_FOREVER;
    }
    return 1;
}

int ban_record_read(ban_t *ban, const char *key, const char *value, const usher_clock_t *clock)
{
    usher_rest_t rest = { value, strlen(value) };

    memset(ban, 0, sizeof(*ban));
    return rest.len < BAN_RECORD_SIZE && ban_prefix_parse(&ban->prefix, key, strlen(key))
           && record_read_who(ban, &rest) && record_read_times(ban, &rest, clock)
           && record_word(&rest, ban->why, sizeof(ban->why), rest.len, ' ');
}
