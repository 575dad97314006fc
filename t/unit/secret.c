/* Files with secrets: who may own and read them, and what is read. */
#include "unit.h"

#include <apr_general.h>
#include <stdio.h>
#include <unistd.h>

#include "usher_secret.h"

static apr_pool_t *pool;
static char dir[] = "/tmp/usher-secret-XXXXXX";
static char path[64];

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 7);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
    apr_pool_destroy(pool);
    apr_terminate();
}

/* httpd runs as user 100 of group 200. */
static const usher_secret_user_t httpd = { 100, 200 };

static const struct {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    const char *reason; /* begins so; NULL: it may */
} rules[] = {
    { S_IFREG | 0600, 0, 0, NULL },
    { S_IFREG | 0400, 100, 5, NULL },
    { S_IFREG | 0640, 0, 200, NULL },
    { S_IFREG | 0660, 100, 200, NULL },
    { S_IFREG | 0000, 0, 0, NULL },
    { S_IFREG | 0600, 101, 200, "belongs to user 101, neither" },
    { S_IFREG | 0640, 0, 0, "is open to group 0, which is not" },
    { S_IFREG | 0620, 0, 201, "is open to group 201, which is not" },
    { S_IFREG | 0610, 100, 201, "is open to group 201, which is not" },
    { S_IFREG | 0644, 0, 200, "is open to all users (mode 0644): chmod o= 'x'" },
    { S_IFREG | 0602, 0, 200, "is open to all users (mode 0602)" },
    { S_IFREG | 0601, 0, 200, "is open to all users (mode 0601)" },
    { S_IFDIR | 0600, 0, 0, "is no regular file" },
    { S_IFIFO | 0600, 0, 0, "is no regular file" },
    { S_IFCHR | 0600, 0, 0, "is no regular file" },
};

START_TEST(rule)
{
    struct stat info;
    const char *why;

    memset(&info, 0, sizeof(info));
    info.st_mode = rules[_i].mode;
    info.st_uid = rules[_i].uid;
    info.st_gid = rules[_i].gid;
    why = usher_secret_why_not(pool, &info, "x", &httpd);
    if (rules[_i].reason) {
        ck_assert_ptr_nonnull(why);
        ck_assert_msg(!strncmp(why, rules[_i].reason, strlen(rules[_i].reason)), "%s", why);
    }
    else {
        ck_assert_pstr_eq(why, NULL);
    }
}
END_TEST

static void put(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(reads)
{
    usher_secret_user_t me = { geteuid(), getegid() };
    struct stat info, again;
    apr_size_t len = 8;
    char bytes[8];
    char link[80];

    put("12345678", 0600);
    ck_assert_pstr_eq(usher_secret_read(pool, bytes, &len, &info, path, &me), NULL);
    ck_assert_uint_eq(len, 8);
    ck_assert_mem_eq(bytes, "12345678", 8);
    snprintf(link, sizeof(link), "%s/link", dir);
    ck_assert_int_eq(symlink("file", link), 0);
    ck_assert_pstr_eq(usher_secret_read(pool, bytes, &len, &again, link, &me), NULL);
    ck_assert_int_eq(usher_secret_is_same(&info, &again), 1);
    unlink(link);
    put("1234567", 0600);
    ck_assert_pstr_eq(usher_secret_read(pool, bytes, &len, &again, path, &me), NULL);
    ck_assert_uint_eq(len, 7);
    ck_assert_int_eq(usher_secret_is_same(&info, &again), 0);
}
END_TEST

START_TEST(refuses)
{
    usher_secret_user_t me = { geteuid(), getegid() };
    static const char zeros[8];
    struct stat info;
    apr_size_t len = 8;
    char bytes[8] = "secret";
    const char *why;

    put("123456789", 0600);
    why = usher_secret_read(pool, bytes, &len, &info, path, &me);
    ck_assert_str_eq(why, "is larger than 8 bytes: is this the right file?");
    ck_assert_mem_eq(bytes, zeros, sizeof(bytes));
    put("1234", 0604);
    ck_assert_ptr_nonnull(strstr(usher_secret_read(pool, bytes, &len, &info, path, &me),
                                 "is open to all users"));
    unlink(path);
    ck_assert_ptr_nonnull(strstr(usher_secret_read(pool, bytes, &len, &info, path, &me),
                                 "cannot be read: No such file"));
    /* Does not wait for somebody to write. */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_str_eq(usher_secret_read(pool, bytes, &len, &info, path, &me),
                     "is no regular file");
}
END_TEST

START_TEST(can_read)
{
    usher_secret_user_t me = { geteuid(), getegid() };
    usher_secret_user_t other = { geteuid() + 1, getegid() + 1 };
    usher_secret_user_t mate = { geteuid() + 1, getegid() };

    unlink(path);
    put("x", 0400);
    ck_assert_int_eq(usher_secret_can_read(path, &me), 1);
    ck_assert_int_eq(chmod(dir, 0711), 0);
    ck_assert_int_eq(usher_secret_can_read(path, &other), 0);
    unlink(path);
    put("x", 0440);
    ck_assert_int_eq(usher_secret_can_read(path, &mate), 1);
    ck_assert_int_eq(usher_secret_can_read(path, &other), 0);
    unlink(path);
    put("x", 0444);
    ck_assert_int_eq(usher_secret_can_read(path, &other), 1);
    /* Each folder on the way has to let it through. */
    ck_assert_int_eq(chmod(dir, 0700), 0);
    ck_assert_int_eq(usher_secret_can_read(path, &other), 0);
    ck_assert_int_eq(usher_secret_can_read("/no such file", &me), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secret");
    TCase *tc = tcase_create("secret");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rule, 0, UNIT_COUNT(rules));
    tcase_add_test(tc, reads);
    tcase_add_test(tc, refuses);
    tcase_add_test(tc, can_read);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
