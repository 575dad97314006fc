/* A rule's limit is reached: whom to ban, how wide and how long.
 *
 * Nothing here is kept for two children that come to the same sentence at the same moment: the one whose ban was
 * new in the jail tells the others of it. */
#include "ban_private.h"
#include "usher_logtext.h"

APLOG_USE_MODULE(usher_ban);

/* What is counted beside a rule's events, under its number with these bits changed: prefixes of one network that
 * were banned; those who were spared, so that each is said once in an hour. */
#define COUNT_WIDER APR_UINT64_C(0x5769646572000000)
#define COUNT_WIDER_TRIAL APR_UINT64_C(0x5769646572000001)
#define COUNT_SPARED APR_UINT64_C(0x5370617265640000)
#define SPARED_AGAIN ((apr_int64_t)3600 * 1000)

#define V4_BITS 96

static int sentence_is_v4(usher_cidr_address_t address)
{
    return !address.high && address.low >> 32 == 0xffff;
}

/* What a client sent, as much of it as has room: no escape is cut. */
static void sentence_why(char to[BAN_WHY_SIZE], const char *why)
{
    usher_logtext_t text = { to, BAN_WHY_SIZE - 1, 0 };
    apr_size_t len = 0;

    for (; why && *why && text.len <= text.size; ++why) {
        len = text.len;
        usher_logtext_escape(&text, why, 1, USHER_LOGTEXT_QUOTED);
    }
    to[text.len <= text.size ? text.len : len] = '\0';
}

static apr_int64_t sentence_later(apr_int64_t at, apr_int64_t time)
{
    return time > BAN_FOREVER - at ? BAN_FOREVER : at + time;
}

/* Doubled each time, up to the longest. */
static apr_int64_t sentence_length(const ban_rule_t *rule, unsigned int times)
{
    apr_int64_t length = rule->length;

    while (--times && length < rule->length_max) {
        length = length > rule->length_max / 2 ? rule->length_max : 2 * length;
    }
    return length < rule->length_max ? length : rule->length_max;
}

/* A trial is the first time after a ban, too; a ban does not care for trials. One that is on was made by another thread
 * a moment ago, for the same. */
static apr_uint16_t sentence_times(const ban_prefix_t *prefix, int is_trial)
{
    ban_t past;

    if (!ban_jail_get(prefix, &past) || (past.is_trial && !is_trial)) {
        return 1;
    }
    if (past.until > ban_now() && past.times) {
        return past.times;
    }
    return past.times < APR_UINT16_MAX ? (apr_uint16_t)(past.times + 1) : past.times;
}

static ban_t sentence_ban(const ban_case_t *what, const ban_prefix_t *prefix)
{
    const ban_rule_t *rule = what->rule;
    ban_t ban = { .prefix = *prefix, .since = ban_now(), .origin = BAN_BY_RULE, .is_trial = !rule->enforce };

    ban.times = sentence_times(prefix, ban.is_trial);
    ban.until = sentence_later(ban.since, sentence_length(rule, ban.times));
    ban.forget_at = sentence_later(ban.until, rule->remember);
    ban.events = what->events < APR_UINT32_MAX ? (apr_uint32_t)what->events : APR_UINT32_MAX;
    apr_cpystrn(ban.name, rule->name, sizeof(ban.name));
    sentence_why(ban.why, what->why);
    return ban;
}

static const char *sentence_who(const ban_case_t *what)
{
    return apr_pstrcat(what->p, "rule ", what->rule->name, NULL);
}

/* Said once in an hour of each, else a monitor's probes fill the log. */
static void sentence_spare(const ban_case_t *what, const ban_prefix_t *prefix, ban_total_e total, const char *note)
{
    ban_total_add(total);
    if (ban_count_add(what->rule->number ^ COUNT_SPARED, prefix, 1, SPARED_AGAIN) == 1) {
        ban_t ban = sentence_ban(what, prefix);

        ban_audit(BAN_AUDIT_SPARE, &ban, sentence_who(what), note, what->s);
    }
}

/* @return 1: he is one of those who are never banned, or looks like a proxy */
static int sentence_spares(const ban_case_t *what, const ban_prefix_t *prefix)
{
    const char *why = ban_never_why(what->address);

    if (why) {
        sentence_spare(what, prefix, BAN_SPARED_NEVER, why);
    }
    else if (ban_share_is_proxy(what->address, what->s)) {
        why = "looks like a proxy that is not declared";
        sentence_spare(what, prefix, BAN_SPARED_PROXY, why);
    }
    return why != NULL;
}

/* @return 1: it is in the jail, and was not before; all who need to know have been told */
static int sentence_pass(const ban_case_t *what, const ban_prefix_t *prefix, const char *note, apr_uint16_t *times)
{
    ban_t ban = sentence_ban(what, prefix);

    *times = ban.times;
    if (ban_jail_put(&ban) != BAN_JAIL_NEW) {
        return 0;
    }
    if (!ban.is_trial) {
        usher_store_result_e did = ban_store_put(&ban, 0);

        if (did != USHER_STORE_DONE && did != USHER_STORE_HANDED) {
            ban_total_add(BAN_STORE_LOST);
        }
        ban_export_tell(prefix);
    }
    ban_audit(ban.is_trial ? BAN_AUDIT_TRIAL : BAN_AUDIT_BAN, &ban, sentence_who(what), note, what->s);
    return 1;
}

/* How many of one network have it banned; 0: it is not */
static unsigned int sentence_wider(const ban_rule_t *rule, usher_cidr_address_t address)
{
    return sentence_is_v4(address) ? rule->wider_v4 : rule->wider_v6;
}

/* The next wider network that is banned when several of it are; 0: none */
static unsigned int sentence_network(const ban_prefix_t *prefix)
{
    if (sentence_is_v4(prefix->address)) {
        return prefix->bits > V4_BITS + 24 ? V4_BITS + 24 : 0;
    }
    return prefix->bits > 64 ? 64 : prefix->bits > 56 ? 56 : prefix->bits > 48 ? 48 : 0;
}

/* One more of its networks was banned, for the first time: perhaps the next wider one is, and so on. Those with
 * one who is never banned in them are not. */
static void sentence_widen(const ban_case_t *what, const ban_prefix_t *banned)
{
    const ban_rule_t *rule = what->rule;
    apr_uint64_t number = rule->number ^ (rule->enforce ? COUNT_WIDER : COUNT_WIDER_TRIAL);
    ban_prefix_t network = *banned;
    unsigned int bits;
    apr_uint16_t times = 1;

    while (times == 1 && (bits = sentence_network(&network)) != 0) {
        network = ban_prefix_of(what->address, bits);
        if (ban_prefix_is_mixed(&network) || ban_count_add(number, &network, 1, rule->remember) < sentence_wider(rule, what->address)
            || ban_never_overlaps(&network) || !sentence_pass(what, &network, "several of this network", &times)) {
            return;
        }
        ban_count_clear(number, &network, rule->remember);
    }
}

void ban_sentence(const ban_case_t *what)
{
    const ban_rule_t *rule = what->rule;
    ban_prefix_t counted = ban_rule_prefix(rule, what->address), prefix = counted;
    apr_uint16_t times;
    ban_t ban;

    ban_count_clear(rule->number, &counted, rule->within);
    if (ban_jail_find(what->address, &ban) && (!ban.is_trial || !rule->enforce)) {
        return; /* he is turned away by now, or it was said what would be done */
    }
    if (sentence_spares(what, &counted)) {
        return;
    }
    if (ban_never_overlaps(&prefix)) {
        prefix = ban_prefix_of(what->address, 128); /* neighbours are never banned: he alone */
    }
    if (sentence_pass(what, &prefix, NULL, &times) && times == 1 && sentence_wider(rule, what->address)) {
        sentence_widen(what, &prefix);
    }
}
