#include "fuzz.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "usher_tlsstats.h"

static int see_client(void *baton, const usher_tlsstats_client_t *client)
{
    (void)baton;
    FUZZ_ASSERT(strlen(client->agent) < USHER_TLSSTATS_AGENT_SIZE);
    return 1;
}

static int put(void *baton, const void *bytes, apr_size_t len)
{
    size_t *sum = baton;

    (void)bytes;
    *sum += len;
    return 1;
}

/* FNV-1a, so that what follows is looked at. */
static void seal(unsigned char *bytes, size_t len)
{
    uint64_t sum = 0xcbf29ce484222325;
    size_t i;

    for (i = 0; i < len; ++i) {
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    }
    for (i = 0; i < 8; ++i) {
        bytes[len + i] = (unsigned char)(sum >> 8 * i);
    }
}

/* What is accepted can be read and written again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy;
    void *base;
    usher_tlsstats_t stats;
    apr_uint64_t dropped;
    size_t len = 0;

    if (size < 8) {
        return 0;
    }
    base = mmap(NULL, USHER_TLSSTATS_SIZE_MIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    FUZZ_ASSERT(base != MAP_FAILED);
    copy = malloc(size);
    memcpy(copy, data, size);
    usher_tlsstats_open(&stats, base, USHER_TLSSTATS_SIZE_MIN);
    seal(copy, size - 8);
    if (usher_tlsstats_load(&stats, copy, size, &dropped)) {
        usher_tlsstats_each_client(&stats, see_client, NULL);
        FUZZ_ASSERT(usher_tlsstats_save(&stats, 1, put, &len));
    }
    free(copy);
    munmap(base, USHER_TLSSTATS_SIZE_MIN);
    return 0;
}
