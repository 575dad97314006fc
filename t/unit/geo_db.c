/* Databases as images: what make() refuses, and that a child, who may be handed anything, opens
 * nothing that is not proved. The core is one of this test's own. */
#include "unit.h"

#include <sys/wait.h>

#include "geo_private.h"
#include "geo_try.h"

const usher_core_t *geo_core;

static const usher_image_spec_t *spec; /* what geo_db.c declares */
static char *room;
static char room_path[40];
static int room_fd = -1;
static apr_pool_t *pool;

static usher_image_t *fake_declare(const usher_image_spec_t *given, const char *path, void *baton,
                                   server_rec *s, const char **error)
{
    spec = given;
    *error = NULL;
    return NULL;
}

static void *fake_room(usher_image_maker_t *maker, apr_size_t size, const char **path)
{
    room_fd = memfd_create("room", 0);
    ck_assert_int_eq(ftruncate(room_fd, (off_t)size), 0);
    room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, room_fd, 0);
    ck_assert_ptr_ne(room, MAP_FAILED);
    snprintf(room_path, sizeof(room_path), "/proc/self/fd/%d", room_fd);
    *path = room_path;
    return room;
}

static const usher_core_t fake_core = { .image_declare = fake_declare, .image_room = fake_room };

static char bytes[65536];
static size_t len;

static void begin(void)
{
    const char *srcdir = getenv("USHER_SRCDIR");
    geo_db_t db = { .path = "/places" };
    const char *error;
    char path[4096];
    FILE *file;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    geo_core = &fake_core;
    geo_db_declare(&db, NULL, &error);
    snprintf(path, sizeof(path), "%s/t/fuzz/corpus/geo/whole-country-4-24", srcdir ? srcdir : ".");
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    len = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
}

static void end(void)
{
    if (room_fd >= 0) {
        munmap(room, len);
        close(room_fd);
        room_fd = -1;
    }
    apr_pool_destroy(pool);
}

static void *open_room(void)
{
    return spec->open(room, len, room_path, NULL);
}

START_TEST(good)
{
    geo_path_t path = { { "country", "iso_code" } };
    geo_value_t value = { &path, NULL };
    MMDB_s *mmdb;

    ck_assert_pstr_eq(spec->make(bytes, len, NULL, NULL, pool), NULL);
    ck_assert_mem_eq(room, bytes, len);
    mmdb = open_room();
    ck_assert_ptr_nonnull(mmdb);
    ck_assert_int_eq(geo_read(mmdb, (usher_cidr_address_t) { 0, 0xffff7f000002 }, &value, 1, NULL, pool), GEO_FOUND);
    ck_assert_pstr_eq(value.text, "JP");
    spec->close(mmdb, NULL);
}
END_TEST

START_TEST(bad)
{
    const char *wrong;

    memset(bytes, 0, 6);
    wrong = spec->make(bytes, len, NULL, NULL, pool);
    ck_assert_pstr_eq(wrong, apr_psprintf(pool, "its tree has a way with no end (at byte 0 of %d)", (int)len));
    ck_assert_int_lt(room_fd, 0);
}
END_TEST

/* The same image, as another child has made it: good, and damaged where the library would not see it. */
START_TEST(handed)
{
    int is_damaged, status;

    ck_assert_pstr_eq(spec->make(bytes, len, NULL, NULL, pool), NULL);
    for (is_damaged = 0; is_damaged < 2; ++is_damaged) {
        pid_t pid;

        if (is_damaged) {
            MMDB_s mmdb;

            memset(room, 0, 6);
            ck_assert_int_eq(MMDB_open(room_path, MMDB_MODE_MMAP, &mmdb), MMDB_SUCCESS);
            MMDB_close(&mmdb);
        }
        pid = fork();
        if (!pid) {
            void *mmdb = open_room();

            if (mmdb) {
                spec->close(mmdb, NULL);
            }
            _exit(!mmdb);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, is_damaged ? 1 << 8 : 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("geo_db");
    TCase *tcase = tcase_create("images");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, good);
    tcase_add_test(tcase, bad);
    tcase_add_test(tcase, handed);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
