/* tlsstatstool FILE NOW: writes statistics of the handshakes on standard input, one a line:
 *
 *     TIME VHOST OUTCOME VERSION CIPHER GROUP ADDRESS LEGACY VERSIONS CIPHERS GROUPS SIGALGS AGENT
 *
 * Times are seconds, the rest numbers are hexadecimal, lists have commas, "-" is empty, and the
 * agent may have blanks. A request is counted with each. For t/usherctl/tls.t. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usher_tlsstats.h"

static int put(void *file, const void *bytes, apr_size_t len)
{
    return fwrite(bytes, 1, len, file) == len;
}

static apr_uint16_t number(const char *text)
{
    return text && *text != '-' ? (apr_uint16_t)strtoul(text, NULL, 16) : 0;
}

static apr_uint16_t list(apr_uint16_t *to, const char *text)
{
    apr_uint16_t n = 0;

    while (text && *text != '-') {
        to[n++] = number(text);
        text = strchr(text, ',');
        text = text ? text + 1 : NULL;
    }
    return n;
}

static void address(unsigned char to[16], const char *text)
{
    memset(to, 0, 10);
    memset(to + 10, 0xff, 2);
    if (inet_pton(AF_INET, text, to + 12) != 1 && inet_pton(AF_INET6, text, to) != 1) {
        fprintf(stderr, "tlsstatstool: %s is no address\n", text);
        exit(EXIT_FAILURE);
    }
}

static void add(usher_tlsstats_t *stats, char *line)
{
    usher_tlsstats_handshake_t handshake = { 0 };
    usher_tlsstats_row_t row = { 0 };
    usher_hello_t hello = { 0 };
    unsigned char client[16];
    char *words[12], *rest = line;
    int i;

    for (i = 0; i < 12; ++i) {
        words[i] = strsep(&rest, " ");
        if (!words[i]) {
            fprintf(stderr, "tlsstatstool: too few words\n");
            exit(EXIT_FAILURE);
        }
    }
    address(client, words[6]);
    hello.legacy_version = number(words[7]);
    hello.versions_all = list(hello.versions, words[8]);
    hello.ciphers_all = list(hello.ciphers, words[9]);
    hello.groups_all = list(hello.groups, words[10]);
    hello.sigalgs_all = list(hello.sigalgs, words[11]);
    handshake.now = strtoll(words[0], NULL, 10);
    handshake.vhost = usher_tlsstats_vhost(stats, words[1]);
    handshake.outcome = number(words[2]);
    handshake.version = number(words[3]);
    handshake.cipher = number(words[4]);
    handshake.group = number(words[5]);
    handshake.hello = &hello;
    handshake.address = client;
    usher_tlsstats_add(stats, &handshake);
    if (handshake.outcome == USHER_TLSSTATS_DONE) {
        row.vhost = handshake.vhost;
        row.outcome = handshake.outcome;
        row.version = handshake.version;
        row.cipher = handshake.cipher;
        row.group = handshake.group;
        usher_tlsstats_add_request(stats, &row, handshake.now);
        usher_tlsstats_add_agent(stats, &row, client, USHER_TLSSTATS_FULL, rest ? rest : "");
    }
}

int main(int argc, char **argv)
{
    static const unsigned char secret[USHER_TLSSTATS_SECRET_SIZE] = "sixteen letters";
    void *memory = aligned_alloc(64, USHER_TLSSTATS_SIZE_MIN);
    FILE *file = argc == 3 ? fopen(argv[1], "wb") : NULL;
    usher_tlsstats_t stats;
    char line[4096];
    int well;

    if (!file || !memory) {
        fputs("usage: tlsstatstool FILE NOW\n", stderr);
        return EXIT_FAILURE;
    }
    memset(memory, 0, USHER_TLSSTATS_SIZE_MIN);
    usher_tlsstats_open(&stats, memory, USHER_TLSSTATS_SIZE_MIN);
    usher_tlsstats_init(&stats, secret, 1000000000);
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        add(&stats, line);
    }
    well = usher_tlsstats_save(&stats, strtoll(argv[2], NULL, 10), put, file);
    free(memory);
    return fclose(file) == 0 && well ? EXIT_SUCCESS : EXIT_FAILURE;
}
