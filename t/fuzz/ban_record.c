#include "fuzz.h"

#include "ban_record.h"

static apr_time_t boot(void)
{
    return 5000000000;
}

static apr_time_t utc(void)
{
    return APR_TIME_C(1795312539000000);
}

static void boot_id(char id[USHER_BOOT_ID_SIZE])
{
    memset(id, 'b', USHER_BOOT_ID_SIZE - 1);
    id[USHER_BOOT_ID_SIZE - 1] = '\0';
}

static const usher_clock_t fixed = { boot, utc, boot_id };

/* What was read can be written, and is read as the same. */
static void record(const char *value)
{
    char again[BAN_RECORD_SIZE], once_more[BAN_RECORD_SIZE];
    ban_t one, other;

    if (!ban_record_read(&one, "192.0.2.1", value, &fixed)) {
        return;
    }
    FUZZ_ASSERT(one.since <= one.until && one.until <= one.forget_at && !one.is_trial && one.times);
    FUZZ_ASSERT(strlen(one.name) < sizeof(one.name) && strlen(one.why) < sizeof(one.why));
    if (!ban_record_write(again, &one, &fixed)) {
        return; /* it began longer ago than can be told */
    }
    FUZZ_ASSERT(ban_record_read(&other, "192.0.2.1", again, &fixed));
    FUZZ_ASSERT(one.since == other.since && one.until == other.until && one.forget_at == other.forget_at
                && one.times == other.times && one.events == other.events && one.origin == other.origin);
    FUZZ_ASSERT(!strcmp(one.name, other.name) && !strcmp(one.why, other.why));
    FUZZ_ASSERT(ban_record_write(once_more, &other, &fixed) && !strcmp(again, once_more));
}

static void prefix(const char *text, size_t size)
{
    char one[BAN_PREFIX_SIZE];
    ban_prefix_t parsed, again;

    if (ban_prefix_parse(&parsed, text, size)) {
        ban_prefix_format(one, &parsed);
        FUZZ_ASSERT(ban_prefix_parse(&again, one, strlen(one)));
        FUZZ_ASSERT(parsed.bits == again.bits && parsed.address.high == again.address.high
                    && parsed.address.low == again.address.low);
    }
}

/* Bytes in shared memory that a child has written. */
static void garbage(const uint8_t *data, size_t size)
{
    char value[BAN_RECORD_SIZE];
    ban_t ban = { .times = 1 };

    memcpy(&ban, data, size < sizeof(ban) ? size : sizeof(ban));
    if (ban_record_write(value, &ban, &fixed)) {
        FUZZ_ASSERT(strlen(value) < sizeof(value) && ban_record_read(&ban, "192.0.2.1", value, &fixed));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    record(text);
    prefix(text, size);
    garbage(data, size);
    free(text);
    return 0;
}
