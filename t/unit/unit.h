/* What all unit tests share. */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* An exact-size copy on the heap: ASan sees any read past the end. */
static inline char *unit_copy(const void *bytes, size_t len)
{
    return memcpy(malloc(len ? len : 1), bytes, len);
}

/* Bytes from pairs of hexadecimal digits, in small letters. @return how many */
static inline size_t unit_bytes(unsigned char *to, const char *hex)
{
    static const char digits[] = "0123456789abcdef";
    size_t len;

    for (len = 0; hex[2 * len]; ++len) {
        to[len] = (unsigned char)((strchr(digits, hex[2 * len]) - digits) << 4
                                  | (strchr(digits, hex[2 * len + 1]) - digits));
    }
    return len;
}

/* Runs one suite and speaks TAP, so prove and Automake read it like a .t */
static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

#endif /* UNIT_H */
