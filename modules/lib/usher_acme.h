/**
 * @file  usher_acme.h
 * @brief What an authority asks for before it renews a certificate (RFC 8555, 8.3).
 *
 * Anybody may ask for that. It must not be a way to more: front controllers take all paths, and
 * parameters tell them what is meant.
 */
#ifndef USHER_ACME_H
#define USHER_ACME_H

#include <string.h>

#define USHER_ACME_PATH "/.well-known/acme-challenge/"

/**
 * Whether a GET may be the authority's: it asks for one file, whose name is a token, without parameters.
 * @param path    decoded
 * @param target  as the client wrote it; NULL: nobody knows
 */
static inline int usher_acme_is_challenge(const char *path, const char *target)
{
    const char *token = path + sizeof(USHER_ACME_PATH) - 1;

    return target && !strchr(target, '?') && !strncmp(path, USHER_ACME_PATH, sizeof(USHER_ACME_PATH) - 1) && *token
           && !token[strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")];
}

#endif /* USHER_ACME_H */
