/**
 * @file  ban_private.h
 * @brief What the files of mod_usher_ban know of one another.
 *
 * Who is banned, in shared memory:
 *   ban_jail.c      the bans, and those that are over but remembered (piece "bans")
 *   ban_count.c     how often something happened lately, by rule and prefix (piece "ban-counts")
 *   ban_sentence.c  a rule's limit is reached: whom to ban, how wide and how long
 * What happens:
 *   ban_conf.c      directives that belong to no other file
 *   ban_rule.c      UsherBanRule
 *   ban_rule_line.c what a line of it says (ban_rule_line.h)
 *   ban_event.c     a request is over, a handshake or registration failed: rules that count it
 *   ban_share.c     addresses that look like a proxy: forwarding headers, a great part of the traffic
 * Who is turned away:
 *   ban_judge.c     what is to be done with an address: jail, lists, geo, exceptions
 *   ban_door.c      connections, before the handshake
 *   ban_proxied.c   behind the PROXY protocol: before the handshake, too
 *   ban_request.c   requests: clients behind proxies, connections that are open
 *   ban_exempt.c    UsherBanExempt: paths that everybody may ask for
 * Who is not, and who always:
 *   ban_never.c     UsherBanNever: loopback, own addresses, members, proxies
 *   ban_near.c      own addresses and those of members, as they are now
 *   ban_names.c     says which members have a host's name, and no address that is known here
 *   ban_remoteip.c  whose word mod_remoteip takes for who the client is
 *   ban_lists.c     UsherBanList and files of prefixes
 *   ban_geo.c       UsherBanGeo
 * Beyond shared memory:
 *   ban_record.c    a ban as the store has it
 *   ban_store.c     the kind "ban": what outlives httpd and reaches other nodes
 *   ban_export*.c   UsherBanExport: a program that refuses them, too
 *   ban_audit.c     a line for each change
 *   ban_handler.c   SetHandler usher-ban
 *   ban_hand.c      bans, and their ends, by hand
 *   ban_json.c      what it says
 *
 * All times are milliseconds of the boot clock where nothing else is said.
 */
#ifndef BAN_PRIVATE_H
#define BAN_PRIVATE_H

#include "usher_ban.h"
#include "usher_cidr.h"
#include "usher_core.h"

extern module AP_MODULE_DECLARE_DATA usher_ban_module;

/** The core; NULL: all is off. */
extern const usher_core_t *ban_core;

/** Now, milliseconds of the boot clock. */
apr_int64_t ban_now(void);

/* --- a ban */

/** Room for a rule's name, with its NUL: letters, digits, '-', '_'. */
#define BAN_NAME_SIZE 24
/** Room for what a ban was made for, with its NUL: "GET /wp-login.php 404 www.example.com". */
#define BAN_WHY_SIZE 128
/** Until when a ban lasts that is never over. */
#define BAN_FOREVER APR_INT64_MAX

/** An address, or all whose first bits are the same. The other bits are zero. */
typedef struct ban_prefix_t {
    usher_cidr_address_t address;
    unsigned char bits; /**< 0 to 128; IPv4's /24 is 96 + 24 */
} ban_prefix_t;

typedef enum {
    BAN_BY_RULE,
    BAN_BY_HAND /**< usherctl, the handler */
} ban_origin_e;

typedef struct ban_t {
    ban_prefix_t prefix;
    apr_int64_t since;     /**< of this ban */
    apr_int64_t until;     /**< when it is over; not later than now: it is over, and only remembered */
    apr_int64_t forget_at; /**< until then the next one gets longer; not before until */
    apr_uint64_t version;  /**< of its record in the store; 0: it is not there (yet) */
    apr_uint32_t events;   /**< how many led to it */
    apr_uint16_t times;    /**< which time it is, from 1 */
    unsigned char origin;  /**< ban_origin_e */
    unsigned char is_trial; /**< its rule only logs: nobody is turned away, and nobody else hears of it */
    char name[BAN_NAME_SIZE]; /**< the rule's, or who did it by hand */
    char why[BAN_WHY_SIZE];   /**< for people; printable ASCII, escaped; "" where there was no room to keep it */
} ban_t;

/** The first bits of an address. @param bits  0 to 128 */
static inline ban_prefix_t ban_prefix_of(usher_cidr_address_t address, unsigned int bits)
{
    ban_prefix_t prefix = { address, (unsigned char)bits };

    prefix.address.high &= bits ? APR_UINT64_MAX << (bits < 64 ? 64 - bits : 0) : 0;
    prefix.address.low &= bits > 64 ? APR_UINT64_MAX << (128 - bits) : 0;
    return prefix;
}

/** Whether a prefix begins as all of IPv4 does, and is none of IPv4's: "::/64" has everybody of IPv4 in it. */
static inline int ban_prefix_is_mixed(const ban_prefix_t *prefix)
{
    return !prefix->address.high && prefix->address.low >> 32 != 0xffff && prefix->bits < 128;
}

/** All addresses of a prefix. */
static inline usher_cidr_range_t ban_prefix_range(const ban_prefix_t *prefix)
{
    usher_cidr_range_t range = { prefix->address, prefix->address };
    unsigned int bits = prefix->bits;

    range.last.high |= bits < 64 ? APR_UINT64_MAX >> bits : 0;
    range.last.low |= bits <= 64 ? APR_UINT64_MAX : bits < 128 ? APR_UINT64_MAX >> (bits - 64) : 0;
    return range;
}

/* ban_jail.c: no locks; any child may write anything, and be killed at any instruction. */

void ban_jail_init(void);          /**< pre_config */
void ban_jail_check_config(void);
void ban_jail_post_config(void);

/** Whether there is any ban at all, over or not: two loads. */
int ban_jail_is_empty(void);

/** A number that changes with each change of bans (in all children): who has seen an address under this
 * number need not look again, but for bans that have ended. */
apr_uint32_t ban_jail_changes(void);

/**
 * The ban that an address falls under now: the one that lasts longest; trials only where there is no real one.
 * @param ban  gets it, with why; or NULL
 * @return 1; 0: there is none
 */
int ban_jail_find(usher_cidr_address_t address, ban_t *ban);

/** What is known of exactly this prefix, also when it is over. @return 1; 0 */
int ban_jail_get(const ban_prefix_t *prefix, ban_t *ban);

typedef enum {
    BAN_JAIL_NEW,     /**< nobody was banned there before, or it was over */
    BAN_JAIL_CHANGED,
    BAN_JAIL_SAME,    /**< it was there as it is */
    BAN_JAIL_FULL     /**< others were in its places that last longer, or there is no memory: it is
                       * not there; said once in a while, and counted */
} ban_jail_put_e;

/** Enter a ban, in place of what was known of its prefix. In a child, or in the parent before there are any. */
ban_jail_put_e ban_jail_put(const ban_t *ban);

/** Forget a prefix, its past as well. @return 1: it was there */
int ban_jail_remove(const ban_prefix_t *prefix);

/** Walk over all, also those that are over, in no order. @param see  returns 0 to stop */
void ban_jail_each(int (*see)(void *baton, const ban_t *ban), void *baton);

typedef struct ban_jail_stats_t {
    apr_uint64_t room, used;  /**< entries, those that are over as well */
    apr_uint64_t active, trials;
    apr_uint64_t lost;        /**< entries that had to go before their time, or did not get in */
} ban_jail_stats_t;
void ban_jail_stats(ban_jail_stats_t *stats);

/* Counts for people, in the jail's piece; relaxed atomics. */
typedef enum {
    BAN_REFUSED_CONNECTION, /**< before the handshake */
    BAN_REFUSED_REQUEST,
    BAN_SPARED_NEVER,       /**< would have been banned, were he not in UsherBanNever */
    BAN_SPARED_PROXY,       /**< looks like a proxy */
    BAN_STORE_LOST,         /**< changes that the store did not take at once */
    BAN_TOTALS
} ban_total_e;
void ban_total_add(ban_total_e which);
apr_uint64_t ban_total(ban_total_e which);

/* ban_count.c */

void ban_count_init(void);
void ban_count_check_config(void);
/**
 * Something happened: add it to what happened to this prefix under this rule in the last @a within ms (sliding; exact
 * within an eighth of it). Counts of all children are one, none is lost when several add at once.
 * @param rule    a rule's number: ban_rule_t.number
 * @param amount  1 for an event; bytes
 * @return the sum with this one; amount alone where there is no memory
 */
apr_uint64_t ban_count_add(apr_uint64_t rule, const ban_prefix_t *prefix, apr_uint64_t amount, apr_int64_t within);
/** Forget what was counted: he was banned or freed. */
void ban_count_clear(apr_uint64_t rule, const ban_prefix_t *prefix, apr_int64_t within);

/* --- directives that hold for paths, too (ban_conf.c) */

typedef enum { BAN_REFUSE_CLOSE, BAN_REFUSE_RESET } ban_refuse_e;
typedef enum { BAN_ANSWER_403, BAN_ANSWER_429, BAN_ANSWER_CLOSE } ban_answer_e;

/** Of a server, virtual host or section; unset fields are USHER_UNSET. */
typedef struct ban_dir_t {
    int on;                    /**< UsherBan */
    int enforce;               /**< UsherBanMode */
    int refuse;                /**< UsherBanRefuse: ban_refuse_e */
    int answer;                /**< UsherBanAnswer: ban_answer_e */
    const apr_array_header_t *exempt; /**< UsherBanExempt: const char *; NULL: the default */
    apr_array_header_t *rules; /**< ban_rule_entry_t, the outer ones first; NULL: none */
} ban_dir_t;

void *ban_dir_create(apr_pool_t *p, char *path);
void *ban_dir_merge(apr_pool_t *p, void *base, void *add);
/** @param conf  r->per_dir_config, or a server's lookup_defaults */
const ban_dir_t *ban_dir_of(const ap_conf_vector_t *conf);
/** The same of a server, for connections. */
const ban_dir_t *ban_dir_of_server(const server_rec *s);
/** Whether anything is done here: UsherBan, On by default. */
static inline int ban_dir_is_on(const ban_dir_t *dir)
{
    return dir->on != 0;
}
/** Whether rules without a mode of their own ban here: UsherBanMode, log by default. */
static inline int ban_dir_enforces(const ban_dir_t *dir)
{
    return dir->enforce == 1;
}

void ban_conf_init(apr_pool_t *pconf); /**< pre_config */
/** UsherBanUndeclared: whether addresses that look like a proxy are spared. */
int ban_conf_spares_undeclared(void);

const char *ban_conf_set_on(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *ban_conf_set_mode(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *ban_conf_set_refuse(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *ban_conf_set_answer(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *ban_conf_set_undeclared(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/* --- rules */

/** UsherBanRule; in pconf. What it matches is ban_rule.c's. */
typedef struct ban_match_t ban_match_t;
typedef struct ban_rule_t {
    const char *name;          /**< below BAN_NAME_SIZE; one rule of this name in a configuration */
    apr_uint64_t number;       /**< of its name: the same in all generations and on all nodes */
    const ban_match_t *match;
    apr_uint64_t max;          /**< this many are allowed: the next one bans */
    apr_int64_t within;        /**< ms */
    apr_int64_t length;        /**< of the first ban, ms; doubled each time */
    apr_int64_t length_max;
    apr_int64_t remember;      /**< after its end, ms */
    unsigned char bits_v4;     /**< whom to count and ban: 96 + 8 to 128 */
    unsigned char bits_v6;     /**< 16 to 128; 64 */
    unsigned char wider_v4;    /**< so many prefixes of one network ban the network, /24; 0: never */
    unsigned char wider_v6;    /**< the same: /56, /48 */
    unsigned char enforce;     /**< 0: only log */
} ban_rule_t;

/** Whom a rule counts an address's events for, and bans. */
static inline ban_prefix_t ban_rule_prefix(const ban_rule_t *rule, usher_cidr_address_t address)
{
    int is_v4 = !address.high && address.low >> 32 == 0xffff;
    ban_prefix_t prefix = ban_prefix_of(address, is_v4 ? rule->bits_v4 : rule->bits_v6);

    return ban_prefix_is_mixed(&prefix) ? ban_prefix_of(address, 128) : prefix;
}

/** A rule as a section has it. */
typedef struct ban_rule_entry_t {
    const ban_rule_t *as[2]; /**< by ban_dir_enforces(); both are the same where mode= was given */
} ban_rule_entry_t;

/* ban_rule.c */

/** What is counted: on= */
typedef enum {
    BAN_ON_REQUEST,
    BAN_ON_HANDSHAKE,
    BAN_ON_REGISTER,
    BAN_ON_AUTH,
    BAN_ON_RATE,
    BAN_ON_BYTES
} ban_on_e;

void ban_rule_init(apr_pool_t *pconf); /**< pre_config */
void ban_rule_check_config(server_rec *s); /**< warns of rules for which a module is missing */
const char *ban_rule_set(cmd_parms *cmd, void *dir, const char *line);
/** Whether any rule counts this, anywhere: one load. */
int ban_rule_wants(ban_on_e on);
/** Whether there is any rule at all, anywhere: one load. */
int ban_rule_are_there(void);
ban_on_e ban_rule_on(const ban_rule_t *rule);
/**
 * Whether a request is one of those that a rule is for; what happened to it aside.
 * @param r       the first one of internal redirects' chain
 * @param status  of the answer
 */
int ban_rule_matches(const ban_rule_t *rule, request_rec *r, int status);

/* ban_event.c */

void ban_event_register(void); /**< hooks, and usher_ban_event() for others */

/* ban_sentence.c */

/** What happened, that reached a rule's limit. */
typedef struct ban_case_t {
    const ban_rule_t *rule;
    usher_cidr_address_t address; /**< the client's */
    apr_uint64_t events;
    const char *why;              /**< any bytes of the client; cut and escaped by who keeps it */
    server_rec *s;                /**< where it is logged */
    apr_pool_t *p;
} ban_case_t;
/** Ban, or spare: tells jail, store, export, audit and the log. Does not wait for anything. */
void ban_sentence(const ban_case_t *what);

/* ban_share.c */

void ban_share_init(void); /**< pre_config */
void ban_share_check_config(void);
/** A request is over; how much of the traffic an address has counts good ones. */
void ban_share_request(usher_cidr_address_t address, const request_rec *r, int status);
/** Look whether a request has headers of a proxy, as it came: RequestHeader adds them, too, and mod_proxy. */
void ban_share_look(request_rec *r);
/** Remember what ban_share_look() has seen. */
void ban_share_see(usher_cidr_address_t address, const request_rec *r);

/** Whether an address seems to be a proxy that was not declared; warns once of it. */
int ban_share_is_proxy(usher_cidr_address_t address, server_rec *s);

/* --- who is turned away */

typedef enum { BAN_NOT, BAN_JAIL, BAN_LIST, BAN_GEO } ban_verdict_e;
typedef struct ban_verdict_t {
    ban_verdict_e kind;
    const char *name; /**< of the rule, the list, the question; lives as long as the verdict or pconf */
    ban_t ban;        /**< of the jail */
} ban_verdict_t;

/** What is known of a connection of a client or proxy; in its conn_config. HTTP/2's streams have none, and read that of
 * their connection, which nobody writes any more. */
typedef struct ban_conn_t {
    int proxied;                 /**< ban_proxied_e */
    int waits;                   /**< turned away, but where there is no TLS he may ask for a path first */
    usher_cidr_address_t client; /**< with BAN_PROXIED_CLIENT and BAN_PROXIED_REFUSED */
    usher_cidr_address_t passed; /**< who was let in last, */
    apr_time_t passed_at;        /**< when; 0: nobody yet, */
    apr_uint32_t changes;        /**< and at which ban_jail_changes() */
} ban_conn_t;
/** Never NULL; of who has it to himself, not of a stream's thread. */
ban_conn_t *ban_conn_of(conn_rec *c);
/** Who was let in now need not be looked up again for a while. @param changes  as they were before the look */
void ban_conn_pass(ban_conn_t *conn, usher_cidr_address_t address, apr_uint32_t changes, apr_time_t now);

/** Wired by mod_usher_ban.c: pre_connection after mod_remoteip and before mod_ssl; after mod_ssl; quick_handler. */
int ban_door_pre_connection(conn_rec *c, void *csd);
int ban_door_after_ssl(conn_rec *c, void *csd);
void ban_door_post_config(void);
/**
 * A client's connection is about to be refused: count and log it, and have it closed or reset as the server says.
 * Who calls this sees to it that nothing is read or written any more.
 */
void ban_door_refuse(conn_rec *c, apr_socket_t *socket, usher_cidr_address_t address, const ban_verdict_t *verdict);
/** Whether a connection's address is turned away before anything is read; not for what may yet ask for a path of
 * UsherBanExempt. */
int ban_door_judge(conn_rec *c, usher_cidr_address_t address, ban_verdict_t *verdict);

void ban_proxied_register(void);    /**< the filter */
void ban_proxied_post_config(void);
/**
 * Watch a connection for its PROXY header. In pre_connection, after mod_remoteip.
 * @return 1; 0: it has none, its peer is the client or a proxy that speaks HTTP
 */
int ban_proxied_begin(conn_rec *c);
typedef enum {
    BAN_PROXIED_NOT,     /**< no PROXY header is expected */
    BAN_PROXIED_UNKNOWN, /**< it has not come, or names nobody */
    BAN_PROXIED_CLIENT,
    BAN_PROXIED_REFUSED  /**< as the client, who was turned away */
} ban_proxied_e;
/** What is known of a connection's client; @param c  or a stream of it */
ban_proxied_e ban_proxied_of(const conn_rec *c, usher_cidr_address_t *client);

/** What is known of a request, each redirect of it by itself: several of these. */
#define BAN_MARK_SEEN      1u /**< mod_remoteip has said who the client is */
#define BAN_MARK_REFUSED   2u /**< as he is banned */
#define BAN_MARK_ASKED     4u /**< who he is and what he may, and was not let in (yet) */
#define BAN_MARK_FORWARDED 8u /**< came with headers of a proxy */
unsigned int ban_request_marks(const request_rec *r);
void ban_request_mark(request_rec *r, unsigned int marks);

int ban_request_quick_handler(request_rec *r, int lookup);
/** For people: "rule wp, for another 59m". */
const char *ban_verdict_text(const ban_verdict_t *verdict, apr_pool_t *p);

/** Whether an address is turned away now. @return 0: it is not (the usual case, at most 1 us) */
int ban_judge(usher_cidr_address_t address, ban_verdict_t *verdict);
/** Whether anybody could be turned away: two or three loads. */
int ban_judge_is_idle(void);

/** The address of a connection or request, in the form used here. */
usher_cidr_address_t ban_address(const apr_sockaddr_t *sockaddr);

/**
 * Whom a request's event counts for. Not where that cannot be known: a proxy's connection whose
 * request was not read as far as its headers.
 * @return 1; 0: nobody
 */
int ban_request_client(request_rec *r, usher_cidr_address_t *address);
/** The same of a connection, for handshakes: behind the PROXY protocol its client; 0 for a declared proxy. */
int ban_proxied_client(conn_rec *c, usher_cidr_address_t *address);

/* ban_never.c; from post_config on, any thread, no lock */

void ban_never_init(apr_pool_t *pconf); /**< pre_config */
int ban_never_check_config(apr_pool_t *pconf, server_rec *s);
const char *ban_never_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *ban_never_set_proxies(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/** Why an address is never banned: "loopback", "an address of this machine", "a member", "a declared proxy",
 * "UsherBanNever"; NULL: it may be. */
const char *ban_never_why(usher_cidr_address_t address);
/** Whether any such address (geo aside) is in a prefix. */
int ban_never_overlaps(const ban_prefix_t *prefix);
/** Whether an address was declared a proxy: by RemoteIPInternalProxy and the like, or UsherBanProxies. */
int ban_never_is_declared(usher_cidr_address_t address);
/** Whether requests of this peer may be other people's: it was declared, or mod_remoteip believes everybody. */
int ban_never_is_proxy(usher_cidr_address_t address);

/** Whether members are among those who are never banned. */
int ban_never_has_members(void);

/* ban_names.c */

void ban_names_check_config(apr_pool_t *ptemp, server_rec *s);

/* ban_exempt.c */

const char *ban_exempt_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
/** Whether any path of a server is exempt. */
int ban_exempt_is_there(const server_rec *s);
/**
 * Whether a request asks for an exempt path.
 * @param path  the request's, decoded and without "..": ban_exempt_path()
 */
int ban_exempt_has(const request_rec *r, const char *path);
/** A request's path as handlers will see it. @return NULL: it cannot be decoded */
char *ban_exempt_path(request_rec *r);

/* ban_near.c; any thread, no lock */

void ban_near_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
void ban_near_child_init(apr_pool_t *pchild, server_rec *s);
int ban_near_is_own(usher_cidr_address_t address);
int ban_near_is_member(usher_cidr_address_t address);
int ban_near_has_own(const usher_cidr_range_t *range);
int ban_near_has_member(const usher_cidr_range_t *range);

/* ban_remoteip.c; while the configuration is read, and after */

/** mod_remoteip's directives, that are read here, too: to be put into the module's own. */
#define BAN_REMOTEIP_CMDS \
    AP_INIT_TAKE1("RemoteIPHeader", ban_remoteip_set_header, NULL, RSRC_CONF, "see mod_remoteip"), \
    AP_INIT_ITERATE("RemoteIPTrustedProxy", ban_remoteip_set_proxy, NULL, RSRC_CONF, "see mod_remoteip"), \
    AP_INIT_ITERATE("RemoteIPInternalProxy", ban_remoteip_set_proxy, NULL, RSRC_CONF, "see mod_remoteip"), \
    AP_INIT_TAKE1("RemoteIPTrustedProxyList", ban_remoteip_set_list, NULL, RSRC_CONF | EXEC_ON_READ, \
        "see mod_remoteip"), \
    AP_INIT_TAKE1("RemoteIPInternalProxyList", ban_remoteip_set_list, NULL, RSRC_CONF | EXEC_ON_READ, \
        "see mod_remoteip")
const char *ban_remoteip_set_header(cmd_parms *cmd, void *dir, const char *name);
const char *ban_remoteip_set_proxy(cmd_parms *cmd, void *dir, const char *proxy);
const char *ban_remoteip_set_list(cmd_parms *cmd, void *dir, const char *path);
void ban_remoteip_check_config(server_rec *s);
/** All proxies that any server believes: usher_cidr_range_t; NULL: none. */
const apr_array_header_t *ban_remoteip_proxies(void);
/** Whether some server believes everybody: a RemoteIPHeader without a list of proxies. */
int ban_remoteip_believes_all(void);
/** Whether mod_remoteip has left some of its header: the client that it found is no proxy that it knows, but hands on
 * what others ask. */
int ban_remoteip_has_left(const request_rec *r);

/* ban_lists.c */

void ban_lists_init(apr_pool_t *pconf); /**< pre_config */
int ban_lists_check_config(server_rec *s);
const char *ban_lists_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/** A file of prefixes that another directive names; in pconf. */
typedef struct ban_file_t ban_file_t;
/**
 * While directives are read; read in ban_lists_check_config(), and anew when it is another one.
 * @param path  absolute, or below ServerRoot
 * @return NULL; else why not, for usher_conf_refuse()
 */
const char *ban_lists_file(cmd_parms *cmd, const char *path, const ban_file_t **file);
/** Whether an address is in it; 0 where there is no good file. From check_config on, any thread, no lock. */
int ban_lists_file_has(const ban_file_t *file, usher_cidr_address_t address);
/** Whether any address of a prefix is. */
int ban_lists_file_meets(const ban_file_t *file, const ban_prefix_t *prefix);

/** UsherBanList. @return the list's name; NULL: it is in none */
const char *ban_lists_find(usher_cidr_address_t address);
int ban_lists_are_there(void);

/* ban_geo.c */

void ban_geo_init(apr_pool_t *pconf); /**< pre_config */
int ban_geo_check_config(apr_pool_t *pconf, server_rec *s);
const char *ban_geo_set(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
/** UsherBanGeo. @return the question as it was written; NULL */
const char *ban_geo_find(usher_cidr_address_t address);
int ban_geo_is_there(void);

/* --- beyond shared memory */

/** Longest text of a record, with its NUL. */
#define BAN_RECORD_SIZE 1024
/** Room for "2001:db8::/64", with its NUL; an IPv4 address and a single IPv6 address are written without "/". */
#define BAN_PREFIX_SIZE 64
char *ban_prefix_format(char text[BAN_PREFIX_SIZE], const ban_prefix_t *prefix);
/** An address, or a prefix of at least 8 (IPv4) or 16 bits, that does not hold all of IPv4: wider ones are
 * nobody's. @return 1; 0: it is none */
int ban_prefix_parse(ban_prefix_t *prefix, const char *text, apr_size_t len);

extern const usher_store_kind_t ban_store_kind;
/**
 * Have the store take a ban (or, with until and forget_at over, its end), and with it the other nodes. When
 * it has it, it is in the jail with its version; who does not wait has put it there before, without one.
 * @param ban   its version is that of the record that it replaces. 0 is fine for who does not wait
 * @param wait  as store_put(): 0 for those who must not wait
 */
usher_store_result_e ban_store_put(const ban_t *ban, apr_interval_time_t wait);
/** Delete a ban and its past. */
usher_store_result_e ban_store_delete(const ban_prefix_t *prefix, apr_uint64_t version, apr_interval_time_t wait);
int ban_store_check_config(server_rec *s);
void ban_store_post_config(void);
void ban_store_started(server_rec *s); /**< the last in post_config: says what came back */
void ban_store_child_init(void);

void ban_export_init(void); /**< pre_config */
const char *ban_export_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
void ban_export_check_config(void);
void ban_export_post_config(apr_pool_t *pconf, server_rec *s);
void ban_export_child_init(void);
/** A ban has begun, changed or was removed: the program hears of it. When a ban is over is its own business.
 * Any thread of a child; never waits. */
void ban_export_tell(const ban_prefix_t *prefix);

void ban_audit_init(void); /**< pre_config */
const char *ban_audit_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
int ban_audit_open_logs(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
typedef enum { BAN_AUDIT_BAN, BAN_AUDIT_TRIAL, BAN_AUDIT_REMOVE, BAN_AUDIT_SPARE } ban_audit_e;
/** A line in the audit. @param who  "rule wp", "key alice", "node"; @param note  or NULL */
void ban_audit(ban_audit_e what, const ban_t *ban, const char *who, const char *note, server_rec *s);

/* ban_handler.c */

/** @return OK; at `httpd -t` and the first start !OK where somebody could see it who should not */
int ban_handler_check_config(server_rec *s);
int ban_handler(request_rec *r); /**< at APR_HOOK_REALLY_FIRST: under "ProxyPass /" a backend is not asked */

#endif /* BAN_PRIVATE_H */
