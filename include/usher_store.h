/**
 * @file  usher_store.h
 * @brief The store: what shall outlive httpd, and be known to other nodes.
 *
 * A set of records, each with a kind, a key and a text. Shared memory is what requests read;
 * the store is behind it. One thread of one child writes and reads it (UsherStore); who wants
 * a change hands it over and waits, at most as long as he says.
 *
 * Each record has a version. A change names the version that it replaces, and is refused
 * where the record has another one by now. Versions only grow, also past a deletion: the
 * greater one wins, in whatever order a node hears of them.
 */
#ifndef USHER_STORE_H
#define USHER_STORE_H

#include <apr_pools.h>
#include <httpd.h>

/** Longest name of a kind: small letters, without its NUL. */
#define USHER_STORE_KIND_MAX  15
/** Longest key: printable ASCII without blanks. */
#define USHER_STORE_KEY_MAX   191
/** Longest text: any UTF-8 without NUL. */
#define USHER_STORE_VALUE_MAX 4096
/** Most records that change together, all or none. */
#define USHER_STORE_TOGETHER_MAX 2

/** A record as it is in the store. */
typedef struct usher_store_record_t {
    const char *key;
    const char *value; /**< NULL: it was deleted */
    apr_uint64_t version;
    apr_int64_t life;  /**< ms until the store forgets it; 0: never */
} usher_store_record_t;

/** What a module keeps in the store. Static. */
typedef struct usher_store_kind_t {
    const char *name;
    /**
     * A record is there, or has changed: by this node or another one. In the parent at the
     * start, before there are children; then in the store's thread of whichever child has it,
     * before those who wait for the change hear of it. May be told the same again, and
     * something older: the greater version counts. The text may come from another node or a
     * file that was tampered with: believe nothing.
     * @param s      the main server
     * @param ptemp  cleared afterwards
     */
    void (*apply)(const usher_store_record_t *record, server_rec *s, apr_pool_t *ptemp);
} usher_store_kind_t;

/** A change that is asked for. */
typedef struct usher_store_change_t {
    const usher_store_kind_t *kind;
    const char *key;
    const char *value;    /**< NULL: delete it; a tombstone stays for its life */
    apr_uint64_t was;     /**< the version that it replaces, a tombstone's as well; 0: there is
                           * no such record */
    apr_int64_t life;     /**< ms until the store may forget it; 0: never, not for a deletion */
    apr_uint64_t version; /**< gets the new one; where it was refused, that which is there now
                           * (0: none, or not known) */
} usher_store_change_t;

typedef enum {
    USHER_STORE_DONE,     /**< durable, and apply() was called */
    USHER_STORE_CONFLICT, /**< another version is there: apply() was called with it; look at
                           * it and decide anew */
    USHER_STORE_DOWN,     /**< the store cannot be reached, or the time is over: it may
                           * become true yet, or not */
    USHER_STORE_BUSY,     /**< too many wait: ask again later; nothing was done */
    USHER_STORE_HANDED    /**< who would not wait: it will be tried */
} usher_store_result_e;

/** How the store is, for who shows it. */
typedef struct usher_store_state_t {
    int is_up;
    const char *name;      /**< "file:/var/lib/usher", "dbd:pgsql"; static or of pconf */
    apr_int64_t since;     /**< boot clock, ms: when it went up or down */
    apr_uint64_t commits, changes, refused; /**< since the start; syncs of a disk, or transactions */
} usher_store_state_t;

#endif /* USHER_STORE_H */
