/* Many processes count, and are killed at any instruction; some stopped for a while. */
#include "hammer.h"
#include "tlsstats.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 6
#define LIFE_US   3000

static usher_tlsstats_t stats;
/* What each process has begun, and ended, to count. */
static _Atomic apr_uint64_t *begun, *ended;

static void setup(void)
{
    void *base = mmap(NULL, USHER_TLSSTATS_SIZE_MIN, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_ptr_ne(counts, MAP_FAILED);
    usher_tlsstats_open(&stats, base, USHER_TLSSTATS_SIZE_MIN);
    usher_tlsstats_init(&stats, (const unsigned char *)"0123456789abcdef", NOW);
    begun = counts;
    ended = begun + 1;
}

/* Few places for many clients and offers: somebody is always put out. */
static void count_for_ever(unsigned int seed)
{
    unsigned char address[16];

    for (;; seed = seed * 1103515245 + 12345) {
        unsigned int client = seed >> 16 & 0xff, hour = seed >> 24 & 63;
        usher_hello_t hello = hello_of(TLS10, seed >> 8 & 0x1ff);
        usher_tlsstats_handshake_t handshake = { NOW + hour * HOUR, 1, USHER_TLSSTATS_DONE, TLS10,
                                                 0x002f, (apr_uint16_t)(client & 7), &hello, address,
                                                 USHER_TLSSTATS_FULL };
        char agent[64];

        client_address(address, client);
        atomic_fetch_add(begun, 1);
        usher_tlsstats_add(&stats, &handshake);
        atomic_fetch_add(ended, 1);
        snprintf(agent, sizeof(agent), "agent of 0.0.0.%u, and of nobody else", client);
        introduce(&stats, TLS10, 0x002f, client, agent);
        if (client == 99) {
            usher_tlsstats_forget(&stats, USHER_TLSSTATS_FULL, 30 * HOUR, NOW + 64 * HOUR);
        }
    }
}

static pid_t begin(unsigned int seed)
{
    pid_t pid = fork();

    if (!pid) {
        count_for_ever(seed);
    }
    return pid;
}

/* Never a client with another one's agent or address. */
static int see_client(void *baton, const usher_tlsstats_client_t *client)
{
    char agent[64];

    snprintf(agent, sizeof(agent), "agent of 0.0.0.%u, and of nobody else", client->address[15]);
    ck_assert(!*client->agent || !strcmp(client->agent, agent));
    ck_assert_int_ge(client->first_seen, NOW);
    ++*(int *)baton;
    return 1;
}

/* Nor an offer with another one's ciphers. */
static int see_offer(void *baton, const usher_tlsstats_offer_t *offer)
{
    ck_assert_uint_eq(offer->ciphers_len, 3);
    ck_assert_uint_ge(offer->ciphers[0], 0x8000);
    ck_assert_uint_eq(offer->ciphers[1], 0xc013);
    ++*(int *)baton;
    return 1;
}

static apr_uint64_t counted(unsigned int by, const usher_tlsstats_span_t *span)
{
    usher_tlsstats_row_t rows[16];
    apr_uint32_t len = usher_tlsstats_rows(&stats, by, USHER_TLSSTATS_ALL, 0, span, rows, 16), i;
    apr_uint64_t sum = 0;

    for (i = 0; i < len; ++i) {
        sum += rows[i].connections;
    }
    return sum;
}

/* Else it shows nothing. */
static int is_enough(int rounds, int clients, int offers)
{
    return *ended > 20000 && clients >= USHER_TLSSTATS_CLIENTS && offers >= rounds;
}

START_TEST(killed_anywhere)
{
    int rounds = getenv("USHER_LONG") ? 4000 : 150, round, i, clients = 0, offers = 0, status;
    hammer_t until = hammer_begin(0, 0);
    usher_tlsstats_span_t days = usher_tlsstats_last(USHER_TLSSTATS_BY_DAY, 4, NOW + 3 * DAY);
    apr_uint64_t killed = 0, dropped;
    pid_t pids[PROCESSES];
    bytes_t bytes = { NULL, 0, 0 };
    memory_t other;

    for (i = 0; i < PROCESSES; ++i) {
        pids[i] = begin((unsigned int)i * 7919);
    }
    for (round = 0; round < rounds || hammer_on(&until, is_enough(rounds, clients, offers)); ++round) {
        struct timespec life = { 0, LIFE_US * 1000L * (round % 3 + 1) / 2 };

        i = round % PROCESSES;
        nanosleep(&life, NULL);
        if (round % 5 == 0) {
            kill(pids[(i + 1) % PROCESSES], SIGSTOP);
        }
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
        ++killed;
        usher_tlsstats_each_client(&stats, see_client, &clients);
        usher_tlsstats_each_offer(&stats, see_offer, &offers);
        pids[i] = begin((unsigned int)round * 31337);
        kill(pids[(i + 1) % PROCESSES], SIGCONT);
    }
    for (i = 0; i < PROCESSES; ++i) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
    }
    ck_assert_msg(is_enough(rounds, clients, offers), "%d counted, %d clients, %d offers seen", (int)*ended,
                  clients, offers);
    ck_assert_uint_ge(counted(USHER_TLSSTATS_VERSION, &always), *ended);
    ck_assert_uint_le(counted(USHER_TLSSTATS_GROUP, &always), *begun);
    ck_assert_uint_le(counted(USHER_TLSSTATS_GROUP, &days), *begun);
    ck_assert_uint_ge(counted(USHER_TLSSTATS_GROUP, &days) + killed + PROCESSES, *ended);
    ck_assert_int_le(usher_tlsstats_clients(&stats, TLS10, 0, &always), 270);
    ck_assert_int_ge(usher_tlsstats_clients(&stats, TLS10, 0x002f, &days), 245);
    ck_assert_int_eq(usher_tlsstats_save(&stats, NOW, bytes_put, &bytes), 1);
    memory_make(&other, USHER_TLSSTATS_SIZE_MIN);
    ck_assert_int_eq(usher_tlsstats_load(&other.stats, bytes.bytes, bytes.len, &dropped), 1);
    ck_assert_uint_eq(dropped, 0);
    free(other.base);
    free(bytes.bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tlsstats_hammer");
    TCase *tc = tcase_create("processes that are killed");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, killed_anywhere);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
