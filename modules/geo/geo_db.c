/* Databases: files that become images, proved good before anybody reads them. */
#include "geo_private.h"

#include <stdlib.h>
#include <unistd.h>

#include "geo_check.h"

static pid_t parent;

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

/* The parent opens what it made itself. A child may be given what another child made, who may
 * have been taken over: it proves that again. */
static void *db_open(const void *image, apr_size_t len, const char *path, void *baton)
{
    apr_size_t at;
    MMDB_s *mmdb;

    if (getpid() != parent && geo_check_prove(image, len, &at)) {
        return NULL;
    }
    mmdb = malloc(sizeof(*mmdb));
    if (mmdb && MMDB_open(path, MMDB_MODE_MMAP, mmdb) != MMDB_SUCCESS) {
        free(mmdb);
        mmdb = NULL;
    }
    return mmdb;
}

static void db_close(void *opened, void *baton)
{
    MMDB_close(opened);
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
    return db->image ? geo_core->image_begin(db->image, hold) : db->own;
}

void geo_db_end(const geo_db_t *db, usher_image_hold_t *hold)
{
    if (db->image) {
        geo_core->image_end(db->image, hold);
    }
}
