/* Databases: files that become images, proved good before anybody reads them. */
#include "geo_private.h"

#include <stdlib.h>
#include <unistd.h>

#include "geo_check.h"

static pid_t parent;

/* An image that a process has opened. */
typedef struct {
    MMDB_s mmdb;
    unsigned char tells[GEO_TELLS];
} db_opened_t;

/* The library has the last word: it may know of more. */
static const char *db_make(const char *bytes, apr_size_t len, usher_image_maker_t *maker, void *baton,
                           apr_pool_t *ptemp)
{
    apr_size_t at;
    const char *path, *wrong = geo_check_prove(bytes, len, &at);
    MMDB_s mmdb;
    void *room;
    int rc;

    if (wrong) {
        return apr_psprintf(ptemp, "%s (at byte %" APR_SIZE_T_FMT " of %" APR_SIZE_T_FMT ")", wrong,
                            at, len);
    }
    room = geo_core->image_room(maker, len, &path);
    if (!room) {
        return "there is no memory for it";
    }
    memcpy(room, bytes, len);
    rc = MMDB_open(path, MMDB_MODE_MMAP, &mmdb);
    if (rc != MMDB_SUCCESS) {
        return apr_psprintf(ptemp, "libmaxminddb says: %s", MMDB_strerror(rc));
    }
    MMDB_close(&mmdb);
    return NULL;
}

/* What is looked for in all of it, once. */
static void db_note_what_it_tells(db_opened_t *opened)
{
    static const char *const keys[GEO_TELLS] = { "country", "continent", "autonomous_system_number" };
    int i;

    for (i = 0; i < GEO_TELLS; ++i) {
        opened->tells[i] = (unsigned char)geo_read_has_key(&opened->mmdb, keys[i]);
    }
}

/* The parent opens what it made itself. A child may be given what another child made, who may
 * have been taken over: it proves that again. */
static void *db_open(const void *image, apr_size_t len, const char *path, void *baton)
{
    apr_size_t at;
    db_opened_t *opened;

    if (getpid() != parent && geo_check_prove(image, len, &at)) {
        return NULL;
    }
    opened = malloc(sizeof(*opened));
    if (opened && MMDB_open(path, MMDB_MODE_MMAP, &opened->mmdb) != MMDB_SUCCESS) {
        free(opened);
        opened = NULL;
    }
    if (opened) {
        db_note_what_it_tells(opened);
    }
    return opened;
}

static void db_close(void *image, void *baton)
{
    db_opened_t *opened = image;

    MMDB_close(&opened->mmdb);
    free(opened);
}

static const usher_image_spec_t db_spec = {
    .what = "the database",
    .size_max = GEO_CHECK_SIZE_MAX,
    .layout = 1,
    .make = db_make,
    .open = db_open,
    .close = db_close,
};

void geo_db_declare(geo_db_t *db, server_rec *s, const char **error)
{
    parent = getpid();
    db->image = geo_core->image_declare(&db_spec, db->path, NULL, s, error);
}

const MMDB_s *geo_db_begin(const geo_db_t *db, usher_image_hold_t *hold)
{
    const db_opened_t *opened;

    if (!db->image) {
        return db->own;
    }
    opened = geo_core->image_begin(db->image, hold);
    return opened ? &opened->mmdb : NULL;
}

void geo_db_end(const geo_db_t *db, usher_image_hold_t *hold)
{
    if (db->image) {
        geo_core->image_end(db->image, hold);
    }
}

int geo_db_tells(const geo_db_t *db, geo_tells_e what)
{
    usher_image_hold_t hold;
    const db_opened_t *opened = db->image ? geo_core->image_begin(db->image, &hold) : NULL;
    int tells = opened ? opened->tells[what] : -1;

    if (opened) {
        geo_core->image_end(db->image, &hold);
    }
    return tells;
}
