/* What registration reads of others: URLs, names, bodies of requests, records of the store. */
#include "unit.h"

#include <apr_strings.h>

#include "register_json.h"
#include "register_record.h"

static const struct {
    const char *text, *is; /* NULL: refused */
} urls[] = {
    { "ajp://10.0.0.5:8009", "ajp://10.0.0.5:8009" },
    { "AJP://10.0.0.5", "ajp://10.0.0.5:8009" },
    { "http://10.0.0.5", "http://10.0.0.5:80" },
    { "https://App-1.Example.com/", "https://app-1.example.com:443" },
    { "ws://a:1", "ws://a:1" },
    { "wss://a:65535/", "wss://a:65535" },
    { "http://[2001:DB8:0::5]:8080", "http://[2001:db8::5]:8080" },
    { "http://[::1]", "http://[::1]:80" },
    { "ajp://self:8009", "ajp://self:8009" },
    { "", NULL }, { "ajp", NULL }, { "ajp://", NULL }, { "ajp:///", NULL }, { "fcgi://a:1", NULL },
    { "balancer://app", NULL }, { "unix:/run/s|http://a", NULL }, { "http://a|b", NULL },
    { "http:/a", NULL }, { " http://a", NULL }, { "http://a ", NULL }, { "http://a\n", NULL },
    { "http://a:0", NULL }, { "http://a:65536", NULL }, { "http://a:", NULL }, { "http://a:/", NULL },
    { "http://a:80a", NULL }, { "http://a:+80", NULL }, { "http://a:80:80", NULL },
    { "http://u@a", NULL }, { "http://u:p@a", NULL }, { "http://a/b", NULL }, { "http://a//", NULL },
    { "http://a?b", NULL }, { "http://a#b", NULL }, { "http://a\\b", NULL }, { "http://a%2e", NULL },
    { "http://.a", NULL }, { "http://a.", NULL }, { "http://a..b", NULL }, { "http://-", NULL },
    { "http://127.1", NULL }, { "http://2130706433", NULL }, { "http://0x7f000001", NULL },
    { "http://0x7f.1", NULL }, { "http://a.0x7f", NULL }, { "http://010.0.0.1", NULL },
    { "http://256.0.0.1", NULL }, { "http://1.2.3.4.5", NULL }, { "http://[::1", NULL },
    { "http://::1", NULL }, { "http://[1.2.3.4]", NULL }, { "http://[fe80::1%eth0]", NULL },
    { "http://[]", NULL }, { "http://[::1]8080", NULL }, { "http://[::1]x:80", NULL },
};

START_TEST(url)
{
    apr_size_t len = strlen(urls[_i].text);
    char *text = unit_copy(urls[_i].text, len), is[USHER_REGISTRY_URL_SIZE];
    register_url_t parsed;
    const char *wrong = register_url_parse(&parsed, text, len);

    ck_assert_msg(!wrong == (urls[_i].is != NULL), "%s: %s", urls[_i].text, wrong ? wrong : "read");
    if (!wrong) {
        ck_assert(register_url_format(is, sizeof(is), &parsed));
        ck_assert_str_eq(is, urls[_i].is);
    }
    free(text);
}
END_TEST

/* A prefix is read without a look at what follows; a NUL is no end. */
START_TEST(url_ends)
{
    static const char all[] = "http://[2001:db8::5]:8080/";
    char long_name[400] = "http://";
    register_url_t parsed;
    apr_size_t len;

    for (len = 0; len < sizeof(all); ++len) {
        char *text = unit_copy(all, len);

        register_url_parse(&parsed, text, len);
        free(text);
    }
    ck_assert_ptr_nonnull(register_url_parse(&parsed, "http://a\0b", 10));
    ck_assert_ptr_nonnull(register_url_parse(&parsed, "http://[::1\0]", 13));
    memset(long_name + 7, 'a', REGISTER_HOST_MAX);
    ck_assert_ptr_null(register_url_parse(&parsed, long_name, 7 + REGISTER_HOST_MAX));
    memset(long_name + 7, 'a', REGISTER_HOST_MAX + 1);
    ck_assert_ptr_nonnull(register_url_parse(&parsed, long_name, 7 + REGISTER_HOST_MAX + 1));
}
END_TEST

START_TEST(names)
{
    static const struct {
        const char *text;
        int cluster, route;
    } all[] = {
        { "app", 1, 1 }, { "app@www.example.com:443", 1, 0 }, { "a.b_c-1", 1, 1 }, { "", 0, 0 },
        { ".", 0, 0 }, { "..", 0, 0 }, { "a b", 0, 0 }, { "a/b", 0, 0 }, { "a;b", 0, 0 },
        { "a%2fb", 0, 0 }, { "a\nb", 0, 0 }, { "\xc3\xa4", 0, 0 }, { "a'", 0, 0 },
    };
    char text[200];
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
        ck_assert_int_eq(register_name_is_cluster(all[i].text, strlen(all[i].text)), all[i].cluster);
        ck_assert_int_eq(register_name_is_route(all[i].text, strlen(all[i].text)), all[i].route);
    }
    ck_assert(!register_name_is_route("a\0b", 3));
    memset(text, 'a', sizeof(text));
    ck_assert(register_name_is_route(text, 63) && !register_name_is_route(text, 64));
    ck_assert(register_name_is_cluster(text, 127) && !register_name_is_cluster(text, 128));
}
END_TEST

static const struct {
    const char *body, *code; /* NULL: fine */
} bodies[] = {
    { "", NULL }, { "{}", NULL }, { " {\"weight\":0}\n", NULL },
    { "{\"url\":\"ajp://self:8009\",\"weight\":100,\"lease\":30,\"check\":\"/h?a=b\"}", NULL },
    { "{\"lease\":\"5m\"}", NULL }, { "{\"lease\":1.5}", NULL }, { "{\"load\":0.7}", NULL },
    { "{\"labels\":{}}", NULL }, { "{\"labels\":{\"zone\":\"\\u00e4\\n\"}}", NULL },
    { "{\"check\":\"tcp\"}", NULL }, { "{\"check\":\"\"}", NULL },
    { "{\"secret\":\"[[[[[[[[\\\"{{{{\"}", NULL },
    { "[]", "bad-json" }, { "null", "bad-json" }, { "1", "bad-json" }, { "{", "bad-json" },
    { "{}x", "bad-json" }, { "{'a':1}", "bad-json" }, { "{\"weight\":1,\"weight\":1}", "bad-json" },
    { "{\"labels\":{\"a\":\"1\",\"a\":\"2\"}}", "bad-json" }, { "\xff", "bad-json" },
    { "{\"labels\":{\"a\":\"\\u0000\"}}", "bad-json" }, { "{\"check\":\"\xc3\x28\"}", "bad-json" },
    { "{\"a\":[[[[]]]]}", "bad-json" }, { "{\"a\":[[[]]]}", "bad-value" },
    { "{\"weights\":1}", "bad-value" }, { "{\"Weight\":1}", "bad-value" }, { "{\"\":1}", "bad-value" },
    { "{\"weight\":101}", "bad-value" }, { "{\"weight\":-1}", "bad-value" },
    { "{\"weight\":1.0}", "bad-value" }, { "{\"weight\":\"1\"}", "bad-value" },
    { "{\"weight\":9223372036854775807}", "bad-value" }, { "{\"weight\":1e999}", "bad-json" },
    { "{\"lease\":-1}", "bad-value" }, { "{\"lease\":86401}", "bad-value" },
    { "{\"lease\":\"\"}", "bad-value" }, { "{\"lease\":\"2d\"}", "bad-value" },
    { "{\"lease\":true}", "bad-value" }, { "{\"load\":-0.1}", "bad-value" },
    { "{\"load\":101}", "bad-value" }, { "{\"load\":\"1\"}", "bad-value" },
    { "{\"check\":\"health\"}", "bad-value" }, { "{\"check\":\"/a b\"}", "bad-value" },
    { "{\"check\":\"/a\\r\\nb\"}", "bad-value" }, { "{\"check\":\"/\\u00e4\"}", "bad-value" },
    { "{\"check\":1}", "bad-value" }, { "{\"labels\":[]}", "bad-value" },
    { "{\"labels\":{\"a\":1}}", "bad-value" }, { "{\"labels\":{\"\":\"a\"}}", "bad-value" },
    { "{\"secret\":\"\"}", "bad-value" }, { "{\"secret\":\"a\\u007f\"}", "bad-value" },
    { "{\"secret_name\":\"\"}", "bad-value" }, { "{\"url\":1}", "bad-url" },
    { "{\"url\":\"http://a\\u0000b\"}", "bad-json" }, { "{\"url\":\"http://a/b\"}", "bad-url" },
};

START_TEST(body)
{
    apr_size_t len = strlen(bodies[_i].body);
    char *text = unit_copy(bodies[_i].body, len);
    register_wrong_t wrong = { "", "" };
    register_ask_t ask;
    int fine = register_json_read(&ask, ~0u, text, len, &wrong);

    ck_assert_msg(fine == !bodies[_i].code, "%s: %s", bodies[_i].body, wrong.message);
    if (!fine) {
        ck_assert_str_eq(wrong.code, bodies[_i].code);
        ck_assert_uint_gt(strlen(wrong.message), 10);
    }
    free(text);
}
END_TEST

START_TEST(fields)
{
    static const char text[] = "{\"url\":\"http://[::1]:81\",\"weight\":7,\"lease\":\"1m\",\"load\":0.71,"
        "\"check\":\"cping\",\"labels\":{\"b\":\"1\",\"a\":\"x y\"},\"secret_name\":\"n\",\"deadline\":2}";
    char large[1000];
    register_wrong_t wrong;
    register_ask_t ask;

    ck_assert(register_json_read(&ask, ~0u, text, strlen(text), &wrong));
    ck_assert_str_eq(ask.url.host, "::1");
    ck_assert_uint_eq(ask.url.port, 81);
    ck_assert_uint_eq(ask.weight, 7);
    ck_assert_uint_eq(ask.lease, 60000);
    ck_assert_uint_eq(ask.deadline, 2000);
    ck_assert_int_eq(ask.load, 71);
    ck_assert_str_eq(ask.check, "cping");
    ck_assert_str_eq(ask.labels, "{\"a\":\"x y\",\"b\":\"1\"}");
    ck_assert_str_eq(ask.secret_name, "n");
    ck_assert(!(ask.has & REGISTER_HAS_SECRET) && ask.has & REGISTER_HAS_LOAD);
    ck_assert(!register_json_read(&ask, REGISTER_HAS_LOAD, text, strlen(text), &wrong));

    apr_snprintf(large, sizeof(large), "{\"labels\":{\"a\":\"%0503d\"}}", 0);
    ck_assert(register_json_read(&ask, ~0u, large, strlen(large), &wrong));
    ck_assert_uint_eq(strlen(ask.labels), USHER_ROSTER_LABELS_SIZE - 1);
    apr_snprintf(large, sizeof(large), "{\"labels\":{\"a\":\"%0504d\"}}", 0);
    ck_assert(!register_json_read(&ask, ~0u, large, strlen(large), &wrong));
}
END_TEST

/* Clocks that a test sets. */
static apr_time_t boot_time = 5000000000, utc_time = APR_TIME_C(1795312539000000);
static char boot_name[USHER_BOOT_ID_SIZE] = "11111111-1111-1111-1111-111111111111";

static apr_time_t boot_now(void)
{
    return boot_time;
}

static apr_time_t utc_now(void)
{
    return utc_time;
}

static void boot_id(char id[USHER_BOOT_ID_SIZE])
{
    memcpy(id, boot_name, USHER_BOOT_ID_SIZE);
}

static const usher_clock_t test_clock = { boot_now, utc_now, boot_id };

/* Compared as bytes: what lies between the fields is 0 as well. */
static void member(usher_roster_entry_t *entry)
{
    memset(entry, 0, sizeof(*entry));
    apr_cpystrn(entry->cluster, "app@www.example.com:443", sizeof(entry->cluster));
    apr_cpystrn(entry->route, "tomcat1", sizeof(entry->route));
    apr_cpystrn(entry->url, "ajp://10.0.0.5:8009", sizeof(entry->url));
    apr_cpystrn(entry->owner, "cert:caf\xc3\xa9 \"x\"", sizeof(entry->owner));
    apr_cpystrn(entry->check, "/health", sizeof(entry->check));
    apr_cpystrn(entry->labels, "{\"zone\":\"a\"}", sizeof(entry->labels));
    apr_cpystrn(entry->secret, "name:one", sizeof(entry->secret));
    entry->registered_at = APR_INT64_C(1795312539000);
    entry->weight = 5;
    entry->lease = 30000;
    entry->load = -1;
    entry->created = 1795312539;
    entry->saved_at = 5000000;
    entry->expires_at = 5030000;
    usher_roster_id(entry->id, entry->cluster, entry->route);
}

START_TEST(record)
{
    usher_roster_entry_t one, other;
    char key[USHER_STORE_KEY_MAX + 1], value[USHER_STORE_VALUE_MAX + 1];

    member(&one);
    register_record_key(key, one.cluster, one.route);
    ck_assert_str_eq(key, "app@www.example.com:443/tomcat1");
    ck_assert(register_record_write(value, &one, &test_clock));
    ck_assert(register_record_read(&other, key, value, &test_clock));
    ck_assert_mem_eq(&one, &other, sizeof(one));

    memset(one.check, 0, sizeof(one.check));
    memset(one.labels, 0, sizeof(one.labels));
    memset(one.secret, 0, sizeof(one.secret));
    ck_assert(register_record_write(value, &one, &test_clock));
    ck_assert(register_record_read(&other, key, value, &test_clock));
    ck_assert_mem_eq(&one, &other, sizeof(one));
    memcpy(one.owner, "\xff", 2);
    ck_assert(!register_record_write(value, &one, &test_clock));
}
END_TEST

/* What is left of a drain holds in another boot; a lease that had ended is not given anew. */
START_TEST(drain)
{
    usher_roster_entry_t one, other;
    char value[USHER_STORE_VALUE_MAX + 1];

    member(&one);
    one.drain_until = 5600000;
    ck_assert(register_record_write(value, &one, &test_clock));
    boot_time = 5060000000;
    ck_assert(register_record_read(&other, "app/a", value, &test_clock));
    ck_assert_int_eq(other.drain_until, 5600000);
    ck_assert_int_eq(other.expires_at, 5090000);

    one.expires_at = 5060000;
    ck_assert(register_record_write(value, &one, &test_clock));
    ck_assert(register_record_read(&other, "app/a", value, &test_clock));
    ck_assert_int_eq(other.expires_at, 5060000);

    boot_time = 1000000;
    utc_time += APR_TIME_C(40000000);
    memset(boot_name, '2', 8);
    ck_assert(register_record_read(&other, "app/a", value, &test_clock));
    ck_assert_int_eq(other.drain_until, 1000 + 540000 - 40000);
    utc_time += APR_TIME_C(86400000000);
    ck_assert(register_record_read(&other, "app/a", value, &test_clock));
    ck_assert_int_eq(other.drain_until, 1000);
}
END_TEST

#define REST "\"owner\":\"k\",\"weight\":1,\"lease\":30000,\"registered\":1,\"created\":0"
#define RECORD "{\"url\":\"ajp://a:1\"," REST "}"

START_TEST(hostile)
{
    static const char *const bad[] = {
        "", "{}", "[]", "x", "{" REST "}", "{\"url\":\"ajp://a:1/x\"," REST "}",
        "{\"url\":\"ajp://a:1\",\"check\":\"x\"," REST "}",
        "{\"url\":\"ajp://a:1\",\"check\":\"/\\r\"," REST "}",
        "{\"url\":\"ajp://a:1\",\"labels\":[]," REST "}", "{\"url\":\"ajp://a:1\",\"drain\":\"x\"," REST "}",
        "{\"url\":\"ajp://a:1\",\"secret\":5," REST "}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"\",\"weight\":1,\"lease\":30000,\"registered\":1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"a\\nb\",\"weight\":1,\"lease\":30000,\"registered\":1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"k\",\"weight\":101,\"lease\":30000,\"registered\":1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"k\",\"weight\":1,\"lease\":0,\"registered\":1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"k\",\"weight\":1,\"lease\":86400001,\"registered\":1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"k\",\"weight\":1,\"lease\":30000,\"registered\":-1,\"created\":0}",
        "{\"url\":\"ajp://a:1\",\"owner\":\"k\",\"weight\":1,\"lease\":30000,\"registered\":1,\"created\":4294967296}",
    };
    static const char *const keys[] = { "", "a", "/", "a/", "/a", "a/b/c", "a b/c", "a/b c", "../a", "a/.." };
    usher_roster_entry_t entry;
    apr_size_t i;

    ck_assert(register_record_read(&entry, "a/b", RECORD, &test_clock));
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        ck_assert_msg(!register_record_read(&entry, "a/b", bad[i], &test_clock), "%s", bad[i]);
    }
    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); ++i) {
        ck_assert_msg(!register_record_read(&entry, keys[i], RECORD, &test_clock), "%s", keys[i]);
    }
    /* A field of a later release. */
    ck_assert(register_record_read(&entry, "a/b", "{\"url\":\"ajp://a:1\",\"new\":[1]," REST "}",
                                   &test_clock));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("register");
    TCase *tc = tcase_create("register");

    tcase_add_loop_test(tc, url, 0, UNIT_COUNT(urls));
    tcase_add_test(tc, url_ends);
    tcase_add_test(tc, names);
    tcase_add_loop_test(tc, body, 0, UNIT_COUNT(bodies));
    tcase_add_test(tc, fields);
    tcase_add_test(tc, record);
    tcase_add_test(tc, drain);
    tcase_add_test(tc, hostile);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
