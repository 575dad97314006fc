/**
 * @file  tls_stats.h
 * @brief What the files of the statistics know of one another.
 *
 * tls_stats.c       counts
 * tls_stats_conf.c  the directives
 * tls_snapshot.c    keeps them in a file
 * tls_handler.c     who may see them, and what of them
 * tls_json.c        them as JSON
 * tls_text.c        them as text
 */
#ifndef TLS_STATS_H
#define TLS_STATS_H

#include <openssl/ssl.h>

#include "tls_private.h"
#include "usher_tlsstats.h"

/* tls_stats_conf.c */

/** Of this reading of the configuration. */
typedef struct tls_stats_conf_t {
    int on;
    apr_interval_time_t save;     /**< how often */
    usher_tlsstats_keep_e keep;
    apr_interval_time_t keep_for; /**< addresses */
} tls_stats_conf_t;

void tls_stats_conf_pre_config(void);
const tls_stats_conf_t *tls_stats_conf(void);
const char *tls_stats_conf_set_on(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *tls_stats_conf_set_clients(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);

/* tls_stats.c */

/** NULL: there are none. From post_config on. */
const usher_tlsstats_t *tls_stats(void);

/** Now, in seconds. */
apr_int64_t tls_stats_now(void);

/** A time of the statistics, which may be any number; 0 where it cannot be. */
apr_time_t tls_stats_utc(apr_int64_t time);

/** A group's number by its name; 0: not known. */
apr_uint16_t tls_stats_group(const char *name);

/* tls_snapshot.c */

/** Read what was kept, into memory that is new. In the parent. */
void tls_snapshot_load(usher_tlsstats_t *stats, const char *dir, apr_pool_t *ptemp, server_rec *s);

/** Write it. In the parent, or in the child that ticks. @return 0: it could not be, it is logged */
int tls_snapshot_save(const usher_tlsstats_t *stats, const char *dir, server_rec *s);

/**
 * Take one piece of memory into another one.
 * @return 0: it could not be done
 */
int tls_snapshot_carry(usher_tlsstats_t *to, const usher_tlsstats_t *from, apr_uint64_t *dropped);

/* tls_handler.c */

int tls_handler_check_config(server_rec *s);
int tls_handler(request_rec *r);

/** What is asked for. */
typedef struct tls_view_t {
    request_rec *r;
    const usher_tlsstats_t *stats;
    SSL *ssl;                  /**< knows names of ciphers; or NULL */
    apr_int64_t now;
    usher_tlsstats_span_t span;
    const char *span_name;     /**< "since 2026-11-22T18:00:00+00:00", "the last 7 days" */
    apr_uint32_t vhost;        /**< or USHER_TLSSTATS_ALL */
    const char *vhost_name;    /**< NULL: all */
} tls_view_t;

/** Most rows of a table. */
#define TLS_VIEW_ROWS 256

const char *tls_view_time(const tls_view_t *view, apr_int64_t time);
const char *tls_view_version(const tls_view_t *view, apr_uint16_t version);
/** OpenSSL's name, or its number: "c02f". */
const char *tls_view_cipher(const tls_view_t *view, apr_uint16_t cipher);
const char *tls_view_group(const tls_view_t *view, apr_uint16_t group);
const char *tls_view_vhost(const tls_view_t *view, apr_uint32_t vhost);
/** "192.0.2.7", "192.0.2.0/24" */
const char *tls_view_address(const tls_view_t *view, const usher_tlsstats_client_t *client);
/** All clients in lists, of each list the most frequent one first. */
apr_array_header_t *tls_view_clients(const tls_view_t *view);
/** All offers, the one with the most connections first. */
apr_array_header_t *tls_view_offers(const tls_view_t *view);
/** Distinct clients, or -1; those of one virtual host are not counted. */
apr_int64_t tls_view_distinct(const tls_view_t *view, apr_uint16_t version, apr_uint16_t cipher);

/* tls_json.c, tls_text.c */

void tls_json_print(const tls_view_t *view);
void tls_text_print(const tls_view_t *view);

#endif /* TLS_STATS_H */
