/* A fuzz target is a file with this function; see replay.c and Makefile.am. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test, kept in every build. */
#define FUZZ_ASSERT(condition) \
    do { \
        if (!(condition)) { \
            abort(); \
        } \
    } while (0)

#endif /* FUZZ_H */
