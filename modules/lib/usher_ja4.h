/**
 * @file  usher_ja4.h
 * @brief JA4: a fingerprint of what a TLS client offers.
 *
 * FoxIO's specification, https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md
 * Needs libcrypto.
 */
#ifndef USHER_JA4_H
#define USHER_JA4_H

#include "usher_hello.h"

/** "t13d1516h2_8daaf6152771_e5627efa2ab1" and a NUL. */
#define USHER_JA4_SIZE 37

/**
 * @param text  gets the fingerprint; "" for a client that offers more than a usher_hello_t keeps
 * @return @a text
 */
char *usher_ja4(char text[USHER_JA4_SIZE], const usher_hello_t *hello);

#endif /* USHER_JA4_H */
