/* usherctl tls what-if: whom other settings would cut off, tried with what was offered. */
#include <apr_getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"
#include "tls_what_if.h"
#include "usher_number.h"

static const char help[] =
    "usage: usherctl tls what-if [options] DIRECTIVE ...\n"
    "\n"
    "Whom would these directives of mod_ssl cut off? What clients have offered, as\n"
    "mod_usher_tls has counted it, is tried with a server of OpenSSL that is set so.\n"
    "\n"
    "    usherctl tls what-if \"SSLProtocol -all +TLSv1.2 +TLSv1.3\" \\\n"
    "                         \"SSLCipherSuite ECDHE+AESGCM:ECDHE+CHACHA20\"\n"
    "\n"
    "SSLProtocol, SSLCipherSuite and SSLOpenSSLConfCmd are known; what is not given is\n"
    "as mod_ssl and OpenSSL have it by default on this machine.\n"
    "\n"
    "    -d, --days N      of the last N days, today is one of them; 7 if it is not said\n"
    "    -c, --cert FILE   the server has a certificate of this kind; may be repeated. If\n"
    "                      it is not said: RSA with 2048 bits and ECDSA with P-256\n"
    "    -f, --file FILE   the statistics; " TLS_STATS_FILE "\n"
    "                      if it is not said\n"
    "    -n, --top N       so many offers and clients are shown, 0 for all; 20 if it is not\n"
    "                      said\n"
    "    -j, --json        print JSON\n"
    "    -h, --help        this text\n"
    "\n"
    "Exit code: 0 done, 1 failed, 2 wrong usage. docs/usherctl.md tells more.\n";

static const apr_getopt_option_t options[] = {
    { "days", 'd', 1, NULL }, { "cert", 'c', 1, NULL }, { "file", 'f', 1, NULL },
    { "top", 'n', 1, NULL },  { "json", 'j', 0, NULL }, { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

typedef struct {
    const char *file;
    int days, top, json;
    apr_array_header_t *certs, *directives; /* const char * */
} asked_t;

/* An offer as a client would send it. */
static void offer_hello(usher_hello_t *hello, const usher_tlsstats_offer_t *offer)
{
    memset(hello, 0, sizeof(*hello));
    hello->legacy_version = offer->legacy_version;
    hello->versions_all = offer->versions_len;
    hello->ciphers_all = offer->ciphers_len;
    hello->groups_all = offer->groups_len;
    hello->sigalgs_all = offer->sigalgs_len;
    memcpy(hello->versions, offer->versions, sizeof(hello->versions));
    memcpy(hello->ciphers, offer->ciphers, sizeof(hello->ciphers));
    memcpy(hello->groups, offer->groups, sizeof(hello->groups));
    memcpy(hello->sigalgs, offer->sigalgs, sizeof(hello->sigalgs));
}

typedef struct {
    apr_pool_t *pool;
    what_if_t *found;
    SSL_CTX *ctx;
    usher_tlsstats_union_t all, fail;
    apr_hash_t *refused; /* id -> what_if_offer_t * */
    apr_hash_t *answered; /* id -> not NULL */
    apr_hash_t *named;   /* named_key_t -> its place in found->clients, from 1 */
} trial_t;

static int try_offer(void *baton, const usher_tlsstats_offer_t *offer)
{
    trial_t *trial = baton;
    what_if_t *found = trial->found;
    const usher_tlsstats_t *stats = &found->snapshot->stats;
    usher_tlsstats_offered_t counts = usher_tlsstats_offered(stats, offer, &found->span);
    usher_tlsstats_union_t clients;
    what_if_offer_t *refused;
    usher_hello_t hello;
    tls_try_t tried;

    offer_hello(&hello, offer);
    tried = tls_try(trial->ctx, &hello);
    found->all.connections += counts.connections;
    found->all.failed += counts.failed;
    found->cut += offer->is_cut ? counts.connections : 0;
    usher_tlsstats_union_add(&trial->all, stats, offer, &found->span);
    if (tried.answers) {
        apr_hash_set(trial->answered, apr_pmemdup(trial->pool, &offer->id, sizeof(offer->id)),
                     sizeof(offer->id), "");
        return 1;
    }
    refused = apr_pcalloc(trial->pool, sizeof(*refused));
    refused->offer = *offer;
    refused->counts = counts;
    refused->tried = tried;
    apr_hash_set(trial->refused, &refused->offer.id, sizeof(refused->offer.id), refused);
    if (counts.connections) {
        memset(&clients, 0, sizeof(clients));
        usher_tlsstats_union_add(&clients, stats, offer, &found->span);
        refused->clients = usher_tlsstats_union_count(&clients);
        found->fail.connections += counts.connections;
        found->fail.failed += counts.failed;
        usher_tlsstats_union_add(&trial->fail, stats, offer, &found->span);
        APR_ARRAY_PUSH(found->offers, what_if_offer_t *) = refused;
    }
    return 1;
}

/* Who an entry of a list is. Behind one address there may be many, told apart by what they say and
 * offer. Without holes: its bytes are compared. */
typedef struct {
    unsigned char address[16];
    apr_uint64_t offer;
    char agent[USHER_TLSSTATS_AGENT_SIZE];
} named_key_t;

static named_key_t *named_key(apr_pool_t *p, const usher_tlsstats_client_t *client)
{
    named_key_t *key = apr_pcalloc(p, sizeof(*key));

    memcpy(key->address, client->address, sizeof(key->address));
    key->offer = client->offer;
    apr_cpystrn(key->agent, client->agent, sizeof(key->agent));
    return key;
}

/* Of two entries of the same: that with the most connections, and that of the version. */
static int tells_more(const usher_tlsstats_client_t *a, const usher_tlsstats_client_t *b)
{
    return a->count != b->count ? a->count > b->count : a->version > b->version;
}

/* A client of an old version is often in the list of a weak cipher too, with the same connections
 * in each: it is named once. */
static int name_client(void *baton, const usher_tlsstats_client_t *client)
{
    trial_t *trial = baton;
    what_if_t *found = trial->found;
    const what_if_offer_t *offer = apr_hash_get(trial->refused, &client->offer,
                                                sizeof(client->offer));
    what_if_client_t *named;
    named_key_t *key;
    void *place;

    if (client->last_seen < found->span.first * 86400
        || apr_hash_get(trial->answered, &client->offer, sizeof(client->offer))) {
        return 1;
    }
    if (!offer) {
        ++found->unknown;
        return 1;
    }
    key = named_key(trial->pool, client);
    place = apr_hash_get(trial->named, key, sizeof(*key));
    if (place) {
        named = &APR_ARRAY_IDX(found->clients, (int)(apr_uintptr_t)place - 1, what_if_client_t);
        if (!tells_more(client, &named->client)) {
            return 1;
        }
    }
    else {
        named = apr_array_push(found->clients);
        apr_hash_set(trial->named, key, sizeof(*key),
                     (void *)(apr_uintptr_t)found->clients->nelts);
    }
    named->client = *client;
    named->offer = offer;
    return 1;
}

static int compare_offers(const void *x, const void *y)
{
    const what_if_offer_t *a = *(what_if_offer_t *const *)x, *b = *(what_if_offer_t *const *)y;

    return a->counts.connections != b->counts.connections
               ? (a->counts.connections < b->counts.connections ? 1 : -1)
               : (a->offer.id > b->offer.id) - (a->offer.id < b->offer.id);
}

static int compare_clients(const void *x, const void *y)
{
    const usher_tlsstats_client_t *a = &((const what_if_client_t *)x)->client;
    const usher_tlsstats_client_t *b = &((const what_if_client_t *)y)->client;
    int differ;

    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    differ = memcmp(a->address, b->address, sizeof(a->address));
    differ = differ ? differ : strcmp(a->agent, b->agent);
    return differ ? differ : (a->offer > b->offer) - (a->offer < b->offer);
}

what_if_t *what_if_make(apr_pool_t *p, const tls_snapshot_t *snapshot,
                        const usher_tlsstats_span_t *span, SSL_CTX *ctx)
{
    what_if_t *found = apr_pcalloc(p, sizeof(*found));
    trial_t *trial = apr_pcalloc(p, sizeof(*trial));

    found->snapshot = snapshot;
    found->span = *span;
    found->offers = apr_array_make(p, 64, sizeof(what_if_offer_t *));
    found->clients = apr_array_make(p, 64, sizeof(what_if_client_t));
    trial->pool = p;
    trial->found = found;
    trial->ctx = ctx;
    trial->refused = apr_hash_make(p);
    trial->answered = apr_hash_make(p);
    trial->named = apr_hash_make(p);
    usher_tlsstats_each_offer(&snapshot->stats, try_offer, trial);
    usher_tlsstats_each_client(&snapshot->stats, name_client, trial);
    found->clients_all = usher_tlsstats_union_count(&trial->all);
    found->clients_fail = usher_tlsstats_union_count(&trial->fail);
    found->lost = usher_tlsstats_lost(&snapshot->stats, span);
    qsort(found->offers->elts, (size_t)found->offers->nelts, sizeof(what_if_offer_t *),
          compare_offers);
    qsort(found->clients->elts, (size_t)found->clients->nelts, sizeof(what_if_client_t),
          compare_clients);
    return found;
}

/* @return CTL_DONE after server->error was shown, if there is one */
static int server_set(apr_pool_t *p, tls_server_t *server, const asked_t *asked)
{
    int well = tls_server_directives(server, asked->directives), i;

    for (i = 0; well && i < asked->certs->nelts; ++i) {
        well = tls_server_certificate_file(server, APR_ARRAY_IDX(asked->certs, i, const char *));
    }
    if (well && !asked->certs->nelts) {
        well = tls_server_certificates(server);
    }
    for (i = 0; i < server->notes->nelts; ++i) {
        fprintf(stderr, "usherctl tls: %s\n", APR_ARRAY_IDX(server->notes, i, const char *));
    }
    return well ? CTL_DONE : tls_fails(p, "%s", server->error);
}

/* What nobody has said: the answer hangs on it as much. */
static apr_array_header_t *server_assumed(apr_pool_t *p, const tls_server_t *server)
{
    apr_array_header_t *assumed = apr_array_make(p, 2, sizeof(const char *));

    if (!server->has_protocol) {
        APR_ARRAY_PUSH(assumed, const char *) = "SSLProtocol is not given: mod_ssl's default was "
                                                "taken, all -SSLv3";
    }
    if (!server->has_ciphers) {
        APR_ARRAY_PUSH(assumed, const char *)
            = apr_psprintf(p, "SSLCipherSuite is not given: OpenSSL's default on this machine was "
                           "taken, with @SECLEVEL=%d; give that of the site, with its @SECLEVEL",
                           SSL_CTX_get_security_level(server->ctx));
    }
    return assumed;
}

static int what_if(apr_pool_t *p, const asked_t *asked)
{
    tls_server_t *server = tls_server_make(p);
    tls_snapshot_t snapshot;
    usher_tlsstats_span_t span;
    what_if_t *found;
    int code;

    if (!server) {
        return tls_fails(p, "OpenSSL fails");
    }
    code = server_set(p, server, asked);
    if (code == CTL_DONE) {
        code = tls_snapshot_read(p, &snapshot, asked->file);
    }
    if (code == CTL_DONE) {
        span = tls_snapshot_span(&snapshot, USHER_TLSSTATS_BY_DAY, (apr_uint32_t)asked->days);
        found = what_if_make(p, &snapshot, &span, server->ctx);
        found->directives = asked->directives;
        found->assumed = server_assumed(p, server);
        if (asked->json) {
            what_if_json(p, found);
        }
        else {
            what_if_print(p, found, asked->top);
        }
    }
    tls_server_free(server);
    return code;
}

/* @return 0: the value is none of the option */
static int what_if_option(asked_t *asked, int letter, const char *value)
{
    switch (letter) {
    case 'd':
        return tls_option_number(&asked->days, 1, USHER_TLSSTATS_DAYS, value);
    case 'n':
        return tls_option_number(&asked->top, 0, 1000000, value);
    case 'c':
        APR_ARRAY_PUSH(asked->certs, const char *) = value;
        return 1;
    case 'f':
        asked->file = value;
        return 1;
    default:
        asked->json = 1;
        return 1;
    }
}

/* The shell has made several words of a directive. @return its name; NULL: no */
static const char *unquoted(int argc, const char *const *argv)
{
    int i;

    for (i = 1; i < argc; ++i) {
        if (tls_server_knows(argv[i])) {
            return argv[i];
        }
    }
    return NULL;
}

int tls_what_if(apr_pool_t *p, int argc, const char *const *argv)
{
    asked_t asked = { TLS_STATS_FILE, 7, 20, 0, NULL, NULL };
    const char **all = apr_pmemdup(p, argv, sizeof(*all) * ((apr_size_t)argc + 1));
    apr_getopt_t *os;
    const char *value = NULL;
    apr_status_t rv;
    int letter;

    if (unquoted(argc, argv)) {
        fprintf(stderr, "usherctl tls: a directive and its value are one word, in quotes: "
                "\"%s VALUE\"\n\n%s", unquoted(argc, argv), help);
        return CTL_USAGE;
    }
    asked.certs = apr_array_make(p, 2, sizeof(const char *));
    asked.directives = apr_array_make(p, 4, sizeof(const char *));
    all[0] = "usherctl tls what-if";
    apr_getopt_init(&os, p, argc, all);
    os->interleave = 1;
    while ((rv = apr_getopt_long(os, options, &letter, &value)) == APR_SUCCESS) {
        if (letter == 'h') {
            fputs(help, stdout);
            return CTL_DONE;
        }
        if (!what_if_option(&asked, letter, value)) {
            return tls_wrong_value(p, options, letter, value, help);
        }
    }
    for (; os->ind < argc; ++os->ind) {
        APR_ARRAY_PUSH(asked.directives, const char *) = os->argv[os->ind];
    }
    if (!APR_STATUS_IS_EOF(rv) || !asked.directives->nelts) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    return what_if(p, &asked);
}
