/**
 * @file  usher_tlsstats.h
 * @brief Statistics of TLS in shared memory: who connects how, by hour and day (UTC), for a month.
 *
 * Four tables of fixed size. When one is full, what finds no place is counted as "other", or
 * as lost: nothing is forgotten silently.
 * - series: connections and requests of each combination that occurred of virtual host, outcome,
 *   version, cipher and group;
 * - crowds: sketches of the distinct clients of each version, and of each version with cipher;
 * - lists: the most frequent clients of each old version and each weak cipher;
 * - offers: what clients offered, how often, and a sketch of those clients for each day.
 *
 * Any number of threads and processes may add and read at the same time, and be killed at any
 * instruction: there are no locks. A slot of an hour or a day says in the same word whose it is, and is
 * taken over by who comes first in a later one: so a clock that jumps makes at most the slots wrong
 * that it points at. Texts and lists have a check, are shown only with it, and are written anew by
 * the next one who finds them without. Any contents are taken.
 *
 * All zeros are empty statistics, but for usher_tlsstats_init(). Memory that is not used is not touched.
 * Times are seconds since 1970, UTC.
 */
#ifndef USHER_TLSSTATS_H
#define USHER_TLSSTATS_H

#include <apr.h>
#include <stdatomic.h>

#include "usher_hello.h"
#include "usher_hll.h"

/** Changes with the layout in memory. */
#define USHER_TLSSTATS_LAYOUT 1

#define USHER_TLSSTATS_SIZE     ((apr_uint64_t)64 << 20)
#define USHER_TLSSTATS_SIZE_MIN ((apr_uint64_t)16 << 20)
#define USHER_TLSSTATS_SIZE_MAX ((apr_uint64_t)1 << 30)

#define USHER_TLSSTATS_HOURS 48
/** A day more than a month: today counts. */
#define USHER_TLSSTATS_DAYS 32

/** Virtual hosts; number 0 is what all others are counted as. */
#define USHER_TLSSTATS_VHOSTS     1024
#define USHER_TLSSTATS_VHOST_SIZE 128

/** As USHER_TLS_DONE of usher_tls.h: a handshake that ended well. */
#define USHER_TLSSTATS_DONE     1
#define USHER_TLSSTATS_OUTCOMES 32

/** Old: below TLS 1.2. */
#define USHER_TLSSTATS_OLD 0x0303

/** 0.8 % and 1.6 %. */
#define USHER_TLSSTATS_CROWD_BITS 14
#define USHER_TLSSTATS_OFFER_BITS 12

#define USHER_TLSSTATS_LISTS       32
#define USHER_TLSSTATS_CLIENTS     64 /**< in each list */
#define USHER_TLSSTATS_AGENT_SIZE  96
#define USHER_TLSSTATS_SECRET_SIZE 16

typedef _Atomic apr_uint64_t usher_tlsstats_word_t;

/** An hour or a day: its number (24 bits), and a count. */
typedef usher_tlsstats_word_t usher_tlsstats_slot_t;

/** What is counted of a combination. */
typedef struct usher_tlsstats_series_t {
    usher_tlsstats_word_t key; /**< 0: free */
    usher_tlsstats_word_t connections, requests; /**< since the beginning */
    usher_tlsstats_word_t spare[5];
    usher_tlsstats_slot_t hours[USHER_TLSSTATS_HOURS][2]; /**< connections, requests */
    usher_tlsstats_slot_t days[USHER_TLSSTATS_DAYS][2];
} usher_tlsstats_series_t;
_Static_assert(sizeof(usher_tlsstats_series_t) == 1344, "part of a segment's layout");

/** Whose clients the sketches of the same place are. */
typedef struct usher_tlsstats_crowd_t {
    usher_tlsstats_word_t key; /**< 0: free */
    usher_tlsstats_word_t spare[7];
    usher_tlsstats_word_t days[USHER_TLSSTATS_DAYS]; /**< which day each sketch is of, from 1 */
} usher_tlsstats_crowd_t;
_Static_assert(sizeof(usher_tlsstats_crowd_t) == 320, "part of a segment's layout");

/** A frequent client. */
typedef struct usher_tlsstats_client_rec_t {
    usher_tlsstats_word_t count, over, failed, last_seen, offer;
    usher_tlsstats_word_t fixed[4]; /**< address, when it came first, whether it is a prefix */
    usher_tlsstats_word_t check;
    usher_tlsstats_word_t agent[USHER_TLSSTATS_AGENT_SIZE / 8];
    usher_tlsstats_word_t agent_check;
    usher_tlsstats_word_t spare;
} usher_tlsstats_client_rec_t;
_Static_assert(sizeof(usher_tlsstats_client_rec_t) == 192, "part of a segment's layout");

typedef struct usher_tlsstats_list_t {
    usher_tlsstats_word_t key; /**< version and cipher, one of them 0; 0: free */
    usher_tlsstats_word_t spare[7];
    usher_tlsstats_word_t keys[USHER_TLSSTATS_CLIENTS]; /**< of the clients */
    usher_tlsstats_client_rec_t clients[USHER_TLSSTATS_CLIENTS];
} usher_tlsstats_list_t;

/** Numbers of all lists of an offer. */
#define USHER_TLSSTATS_OFFER_NUMBERS                                                    \
    (USHER_HELLO_VERSIONS_MAX + USHER_HELLO_CIPHERS_MAX + USHER_HELLO_GROUPS_MAX        \
     + USHER_HELLO_SIGALGS_MAX)
#define USHER_TLSSTATS_OFFER_WORDS (2 + USHER_TLSSTATS_OFFER_NUMBERS / 4)

/** An offer; its sketches lie elsewhere. */
typedef struct usher_tlsstats_offer_rec_t {
    usher_tlsstats_word_t key; /**< 0: free */
    usher_tlsstats_word_t total, last_seen, check;
    usher_tlsstats_word_t fixed[USHER_TLSSTATS_OFFER_WORDS]; /**< first seen, lengths, numbers */
    /** The day (16 bits), a tag of the key (16), a count (32): all, and those that failed. */
    usher_tlsstats_word_t days[USHER_TLSSTATS_DAYS][2];
    usher_tlsstats_word_t sketched[USHER_TLSSTATS_DAYS]; /**< whose each sketch is */
    usher_tlsstats_word_t spare[4];
} usher_tlsstats_offer_rec_t;
_Static_assert(sizeof(usher_tlsstats_offer_rec_t) == 1280, "part of a segment's layout");

typedef struct usher_tlsstats_header_t {
    unsigned char secret[USHER_TLSSTATS_SECRET_SIZE];
    usher_tlsstats_word_t begun;  /**< when counting began */
    usher_tlsstats_word_t loaded; /**< not 0: this memory is in use */
    usher_tlsstats_word_t lost_total; /**< connections whose offer is in no table */
    usher_tlsstats_word_t saved_at; /**< on whose clock is the module's business */
    usher_tlsstats_word_t spare[2];
    usher_tlsstats_slot_t lost[USHER_TLSSTATS_DAYS];
    char vhosts[USHER_TLSSTATS_VHOSTS][USHER_TLSSTATS_VHOST_SIZE];
    usher_tlsstats_list_t lists[USHER_TLSSTATS_LISTS];
} usher_tlsstats_header_t;

/** Statistics as one process sees them; not changed after usher_tlsstats_open(). */
typedef struct usher_tlsstats_t {
    usher_tlsstats_header_t *header;
    usher_tlsstats_series_t *series;
    usher_tlsstats_crowd_t *crowds;
    usher_hll_pair_t *crowd_pairs; /**< of each crowd: since the beginning, and each day's */
    usher_tlsstats_offer_rec_t *offers;
    usher_hll_pair_t *offer_pairs; /**< of each offer: each day's */
    apr_uint32_t series_len, crowds_len, offers_len;
    apr_uint64_t size;
} usher_tlsstats_t;

/**
 * Look at memory as statistics. Writes nothing.
 * @param base  aligned to 64
 * @param size  bytes, at least USHER_TLSSTATS_SIZE_MIN
 */
void usher_tlsstats_open(usher_tlsstats_t *stats, void *base, apr_uint64_t size);

/**
 * Make zeros into empty statistics, before others see them.
 * @param secret  USHER_TLSSTATS_SECRET_SIZE random bytes
 */
void usher_tlsstats_init(usher_tlsstats_t *stats, const unsigned char *secret, apr_int64_t now);

/* Adding */

/**
 * The number of a virtual host, which it keeps. By one process at a time.
 * @param name  "www.example.com:443"; is cut
 * @return 0: there are too many
 */
apr_uint32_t usher_tlsstats_vhost(usher_tlsstats_t *stats, const char *name);

/** How addresses are kept in the lists. */
typedef enum {
    USHER_TLSSTATS_FULL,
    USHER_TLSSTATS_PREFIX, /**< /24 of IPv4, /48 of IPv6 */
    USHER_TLSSTATS_OFF     /**< there are no lists */
} usher_tlsstats_keep_e;

/** Whether a cipher is weak: no AEAD, or no forward secrecy. By IANA's numbers. */
int usher_tlsstats_is_weak(apr_uint16_t cipher);

/** A combination, and what was counted of it. */
typedef struct usher_tlsstats_row_t {
    apr_uint32_t vhost;    /**< 0: other ones */
    unsigned int outcome;
    apr_uint16_t version;  /**< of a failed handshake: the greatest one offered; 0: not known */
    apr_uint16_t cipher;   /**< 0: none, or other ones */
    apr_uint16_t group;
    apr_uint64_t connections, requests;
} usher_tlsstats_row_t;

/** A handshake that is over. */
typedef struct usher_tlsstats_handshake_t {
    apr_int64_t now;
    apr_uint32_t vhost;
    unsigned int outcome;       /**< below USHER_TLSSTATS_OUTCOMES */
    apr_uint16_t version;       /**< chosen; 0: none */
    apr_uint16_t cipher;        /**< chosen, IANA's number; 0: none */
    apr_uint16_t group;         /**< chosen, IANA's number; 0: none, or not known */
    const usher_hello_t *hello; /**< NULL: none was understood */
    const unsigned char *address; /**< 16 bytes; IPv4 is mapped into IPv6. NULL: has none */
    usher_tlsstats_keep_e keep;
} usher_tlsstats_handshake_t;

/** Count a handshake. Some hundred nanoseconds. */
void usher_tlsstats_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake);

/**
 * Count a request.
 * @param row  its virtual host, and version, cipher and group of its connection; outcome is
 *             USHER_TLSSTATS_DONE
 */
void usher_tlsstats_add_request(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row,
                                apr_int64_t now);

/** Whether clients that use this are listed. */
static inline int usher_tlsstats_is_listed(apr_uint16_t version, apr_uint16_t cipher)
{
    return version < USHER_TLSSTATS_OLD || (cipher >> 8 != 0x13 && usher_tlsstats_is_weak(cipher));
}

/** Note the user agent of a client that is in a list, if none is noted there. */
void usher_tlsstats_add_agent(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row,
                              const unsigned char *address, usher_tlsstats_keep_e keep,
                              const char *agent);

/**
 * Take clients out of the lists that were not seen for long, and those of whom more is kept
 * than may be.
 * @param keep_for  seconds
 * @return how many
 */
apr_uint32_t usher_tlsstats_forget(const usher_tlsstats_t *stats, usher_tlsstats_keep_e keep,
                                   apr_int64_t keep_for, apr_int64_t now);

/* Reading; also of garbage: all numbers may be wrong, no text is longer than it may be. Texts
 * may have any bytes. */

/** What part of the time is asked for. */
typedef enum {
    USHER_TLSSTATS_ALWAYS, /**< since counting began; first and len do not matter */
    USHER_TLSSTATS_BY_HOUR,
    USHER_TLSSTATS_BY_DAY
} usher_tlsstats_unit_e;

/** Hours or days in a row: the last 7 days are { BY_DAY, now / 86400 - 6, 7 }. */
typedef struct usher_tlsstats_span_t {
    usher_tlsstats_unit_e unit;
    apr_int64_t first; /**< since 1970 */
    apr_uint32_t len;
} usher_tlsstats_span_t;

/** The last hours or days, with the present one. */
static inline usher_tlsstats_span_t usher_tlsstats_last(usher_tlsstats_unit_e unit,
                                                        apr_uint32_t len, apr_int64_t now)
{
    usher_tlsstats_span_t span = { unit, 0, len };

    span.first = now / (unit == USHER_TLSSTATS_BY_HOUR ? 3600 : 86400) - len + 1;
    return span;
}

/** A virtual host's name; "" for a number that is none's, and for 0. @param name  gets it */
void usher_tlsstats_vhost_name(const usher_tlsstats_t *stats, apr_uint32_t vhost,
                               char name[USHER_TLSSTATS_VHOST_SIZE]);

/** What rows are summed by; the other fields of a row are then 0. */
enum {
    USHER_TLSSTATS_VHOST = 1,
    USHER_TLSSTATS_OUTCOME = 2,
    USHER_TLSSTATS_VERSION = 4,
    USHER_TLSSTATS_CIPHER = 8,
    USHER_TLSSTATS_GROUP = 16
};

/** All virtual hosts. */
#define USHER_TLSSTATS_ALL APR_UINT32_MAX

/**
 * Rows of those handshakes that ended well, or of those that did not; the most connections first.
 * What does not fit is summed in the last one, all fields 0.
 * @param by      of the values above; USHER_TLSSTATS_VERSION | USHER_TLSSTATS_CIPHER
 * @param vhost   only this one's, or USHER_TLSSTATS_ALL
 * @param failed  0: those that ended well
 * @param rows    gets them
 * @param max     at least 1
 * @return how many; rows that counted nothing are left out
 */
apr_uint32_t usher_tlsstats_rows(const usher_tlsstats_t *stats, unsigned int by, apr_uint32_t vhost,
                                 int failed, const usher_tlsstats_span_t *span,
                                 usher_tlsstats_row_t *rows, apr_uint32_t max);

/**
 * Distinct clients whose handshakes ended well.
 * @param version  0 with cipher 0: of all
 * @param cipher   0: of all ciphers
 * @param span     by day, or always
 * @return -1: not known, as there was no room to count them
 */
apr_int64_t usher_tlsstats_clients(const usher_tlsstats_t *stats, apr_uint16_t version,
                                   apr_uint16_t cipher, const usher_tlsstats_span_t *span);

/** A frequent client. */
typedef struct usher_tlsstats_client_t {
    apr_uint16_t version;  /**< why it is listed: this old version */
    apr_uint16_t cipher;   /**< or this weak cipher; the other one is 0 */
    unsigned char address[16]; /**< IPv4 mapped into IPv6 */
    int is_prefix;         /**< all behind /24 or /48 is 0 */
    apr_int64_t first_seen, last_seen;
    apr_uint64_t count;    /**< connections */
    apr_uint64_t over;     /**< so many of them may be others' */
    apr_uint64_t failed;   /**< of them, handshakes that failed */
    apr_uint64_t offer;    /**< usher_tlsstats_offer_t.id of the last one; 0: not known */
    char agent[USHER_TLSSTATS_AGENT_SIZE]; /**< "" */
} usher_tlsstats_client_t;

/** All lists, one after the other, in no order. @param see  returns 0 to stop */
void usher_tlsstats_each_client(const usher_tlsstats_t *stats,
                                int (*see)(void *baton, const usher_tlsstats_client_t *client),
                                void *baton);

/** What clients offered; lists are sorted. */
typedef struct usher_tlsstats_offer_t {
    apr_uint64_t id;
    apr_uint32_t place;          /**< for the functions below */
    apr_uint16_t legacy_version; /**< the greatest one, where versions is empty */
    apr_uint16_t versions_len, ciphers_len, groups_len, sigalgs_len;
    int is_cut;                  /**< a list was too long */
    apr_uint16_t versions[USHER_HELLO_VERSIONS_MAX]; /**< of supported_versions */
    apr_uint16_t ciphers[USHER_HELLO_CIPHERS_MAX];   /**< without 00ff and 5600, which are none */
    apr_uint16_t groups[USHER_HELLO_GROUPS_MAX];
    apr_uint16_t sigalgs[USHER_HELLO_SIGALGS_MAX];
    apr_int64_t first_seen, last_seen;
    apr_uint64_t connections;    /**< since first_seen */
} usher_tlsstats_offer_t;

/** In no order. @param see  returns 0 to stop */
void usher_tlsstats_each_offer(const usher_tlsstats_t *stats,
                               int (*see)(void *baton, const usher_tlsstats_offer_t *offer),
                               void *baton);

/** Connections with an offer. @param span  by day, or always: of all days that are kept */
typedef struct usher_tlsstats_offered_t {
    apr_uint64_t connections;
    apr_uint64_t failed; /**< of them */
} usher_tlsstats_offered_t;

usher_tlsstats_offered_t usher_tlsstats_offered(const usher_tlsstats_t *stats,
                                                const usher_tlsstats_offer_t *offer,
                                                const usher_tlsstats_span_t *span);

/** Distinct clients of several offers. Zeros are empty. */
typedef struct usher_tlsstats_union_t {
    unsigned char pairs[USHER_HLL_SIZE(USHER_TLSSTATS_OFFER_BITS)];
} usher_tlsstats_union_t;

/** Add the clients of an offer. @param span  by day, or always: of all days that are kept */
void usher_tlsstats_union_add(usher_tlsstats_union_t *clients, const usher_tlsstats_t *stats,
                              const usher_tlsstats_offer_t *offer,
                              const usher_tlsstats_span_t *span);

apr_uint64_t usher_tlsstats_union_count(const usher_tlsstats_union_t *clients);

/** Connections whose offer is not in the table: none could be entered, or it had to go. */
apr_uint64_t usher_tlsstats_lost(const usher_tlsstats_t *stats, const usher_tlsstats_span_t *span);

/* The snapshot: only what is used, with a checksum. The same bytes on all machines. */

/**
 * Write statistics as bytes. While others add.
 * @param now  of the snapshot
 * @param put  gets some of them at a time; returns 0 to stop
 * @return 0: put stopped it
 */
int usher_tlsstats_save(const usher_tlsstats_t *stats, apr_int64_t now,
                        int (*put)(void *baton, const void *bytes, apr_size_t len), void *baton);

/**
 * What a snapshot says of itself, by its first bytes.
 * @param size   gets that of the memory it was made of, in the bounds of such memory
 * @param saved  gets when
 * @return 0: it is none, or of another release
 */
int usher_tlsstats_peek(const unsigned char *bytes, apr_size_t len, apr_uint64_t *size,
                        apr_int64_t *saved);

/** Whether a snapshot is one, and its sum is right. */
int usher_tlsstats_is_whole(const unsigned char *bytes, apr_size_t len);

/**
 * Read a snapshot.
 * @param stats    zeros, but for usher_tlsstats_init()
 * @param dropped  gets how many records found no place
 * @return 0: it is damaged, and the memory is to be made zeros again; only where
 *         usher_tlsstats_is_whole() says no, nothing was written to it
 */
int usher_tlsstats_load(usher_tlsstats_t *stats, const unsigned char *bytes, apr_size_t len,
                        apr_uint64_t *dropped);

#endif /* USHER_TLSSTATS_H */
