#include "fuzz.h"

#include "register_json.h"
#include "register_record.h"

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

/* All texts end within their fields, and numbers are within their bounds. */
static void body(const char *text, size_t size)
{
    register_wrong_t wrong;
    register_ask_t ask;

    if (!register_json_read(&ask, ~0u, text, size, &wrong)) {
        FUZZ_ASSERT(strlen(wrong.message) < sizeof(wrong.message) && wrong.code);
        return;
    }
    FUZZ_ASSERT(ask.weight <= 100 && ask.lease <= REGISTER_TIME_MAX && ask.load >= 0
                && ask.deadline <= REGISTER_TIME_MAX);
    FUZZ_ASSERT(strlen(ask.labels) < sizeof(ask.labels) && strlen(ask.check) < sizeof(ask.check));
    FUZZ_ASSERT(!(ask.has & REGISTER_HAS_URL) || (ask.url.port && *ask.url.host));
}

/* What was read can be written, and is read as the same. */
static void record(const char *value)
{
    char again[USHER_STORE_VALUE_MAX + 1], once_more[USHER_STORE_VALUE_MAX + 1];
    usher_roster_entry_t one, other;

    if (!register_record_read(&one, "app/tomcat1", value, &fixed)) {
        return;
    }
    FUZZ_ASSERT(one.weight <= 100 && one.lease <= REGISTER_TIME_MAX);
    FUZZ_ASSERT(one.drain_until <= boot() / 1000 + REGISTER_TIME_MAX);
    FUZZ_ASSERT(register_record_write(again, &one, &fixed));
    FUZZ_ASSERT(register_record_read(&other, "app/tomcat1", again, &fixed));
    FUZZ_ASSERT(one.expires_at == other.expires_at && one.drain_until == other.drain_until);
    FUZZ_ASSERT(register_record_write(once_more, &other, &fixed) && !strcmp(again, once_more));
}

static void url(const char *text, size_t size)
{
    char one[USHER_REGISTRY_URL_SIZE], other[USHER_REGISTRY_URL_SIZE];
    register_url_t parsed;

    if (register_url_parse(&parsed, text, size)) {
        return;
    }
    FUZZ_ASSERT(register_url_format(one, sizeof(one), &parsed));
    FUZZ_ASSERT(!register_url_parse(&parsed, one, strlen(one)));
    FUZZ_ASSERT(register_url_format(other, sizeof(other), &parsed));
    FUZZ_ASSERT(!strcmp(one, other));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char key[USHER_STORE_KEY_MAX + 1];
    usher_roster_entry_t entry;

    memcpy(text, data, size);
    text[size] = '\0';
    body(text, size);
    url(text, size);
    record(text);
    if (register_record_read_key(&entry, text)) {
        FUZZ_ASSERT(!strcmp(register_record_key(key, entry.cluster, entry.route), text));
    }
    free(text);
    return 0;
}
