/* Seals and opens tokens with a key file, for tests of sticky cookies:
 * tokentool seal KEYFILE AAD MEMBER FIRST LAST SESSION   prints the token
 * tokentool open KEYFILE AAD TOKEN                       prints "MEMBER FIRST LAST SESSION"
 * AAD and MEMBER are hex. */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usher_token.h"

static apr_size_t from_hex(unsigned char *to, apr_size_t size, const char *text)
{
    apr_size_t n;

    for (n = 0; n < size && text[2 * n] && text[2 * n + 1]; ++n) {
        char pair[3] = { text[2 * n], text[2 * n + 1], '\0' };

        to[n] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return n;
}

static usher_keys_t *keys_of(apr_pool_t *p, const char *path)
{
    static char text[USHER_KEYS_FILE_MAX];
    usher_keys_error_t error = { 0, "cannot be read" };
    usher_keyring_t ring;
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(text, 1, sizeof(text), file) : 0;

    if (!file || !usher_keys_parse(&ring, &error, text, len)) {
        fprintf(stderr, "%s: line %d: %s\n", path, error.line, error.reason);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return usher_keys_make(p, &ring);
}

static int seal(const usher_keys_t *keys, char **argv)
{
    unsigned char aad[USHER_TOKEN_AAD_MAX];
    apr_size_t aad_len = from_hex(aad, sizeof(aad), argv[0]);
    char text[USHER_TOKEN_SIZE];
    usher_token_t token;

    from_hex(token.member, sizeof(token.member), argv[1]);
    token.first_seen = (apr_uint32_t)apr_atoi64(argv[2]);
    token.last_seen = (apr_uint32_t)apr_atoi64(argv[3]);
    token.session = (apr_uint32_t)apr_atoi64(argv[4]);
    if (usher_token_seal(text, &token, keys, aad, aad_len) != APR_SUCCESS) {
        return EXIT_FAILURE;
    }
    printf("%.*s\n", (int)sizeof(text), text);
    return EXIT_SUCCESS;
}

static int open_token(const usher_keys_t *keys, char **argv)
{
    unsigned char aad[USHER_TOKEN_AAD_MAX];
    apr_size_t aad_len = from_hex(aad, sizeof(aad), argv[0]), i;
    usher_token_t token;

    if (usher_token_open(&token, keys, aad, aad_len, argv[1], strlen(argv[1]))
        != USHER_TOKEN_OK) {
        return EXIT_FAILURE;
    }
    for (i = 0; i < sizeof(token.member); ++i) {
        printf("%02x", token.member[i]);
    }
    printf(" %u %u %u\n", token.first_seen, token.last_seen, token.session);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    apr_pool_t *p;
    usher_keys_t *keys;

    if (!(argc == 8 && !strcmp(argv[1], "seal")) && !(argc == 5 && !strcmp(argv[1], "open"))) {
        return EXIT_FAILURE;
    }
    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&p, NULL);
    keys = keys_of(p, argv[2]);
    if (!keys) {
        return EXIT_FAILURE;
    }
    return argc == 8 ? seal(keys, argv + 3) : open_token(keys, argv + 3);
}
