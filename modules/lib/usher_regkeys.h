/**
 * @file  usher_regkeys.h
 * @brief The key file of registration: who may sign requests, and under which policy.
 *
 * A line for each key: its id, its secret in base64 (either alphabet, with padding or without), and
 * the name of its policy, with blanks between them. Empty lines, and those that begin with '#',
 * mean nothing.
 */
#ifndef USHER_REGKEYS_H
#define USHER_REGKEYS_H

#include <apr.h>

/** Longest id of a key and name of a policy, without its NUL: A-Z a-z 0-9 . _ - */
#define USHER_REGKEYS_NAME_MAX 63
/** A secret's bytes. */
#define USHER_REGKEYS_SECRET_MIN 16
#define USHER_REGKEYS_SECRET_MAX 64
/** Most keys, and largest file. */
#define USHER_REGKEYS_MAX 10000
#define USHER_REGKEYS_FILE_MAX (2 * 1024 * 1024)

/** Plain data, with a secret: wipe what is not needed any more. */
typedef struct usher_regkey_t {
    char id[USHER_REGKEYS_NAME_MAX + 1];
    char policy[USHER_REGKEYS_NAME_MAX + 1];
    unsigned char secret[USHER_REGKEYS_SECRET_MAX];
    apr_uint32_t secret_len;
    int line; /**< of the file, from 1 */
} usher_regkey_t;

/** What is wrong with a file. */
typedef struct usher_regkeys_error_t {
    int line;           /**< from 1; 0: of the whole file */
    const char *reason; /**< static; never holds anything of the file */
} usher_regkeys_error_t;

/** Whether a text may be an id or a policy's name. */
int usher_regkeys_is_name(const char *text, apr_size_t len);

/** How many keys a text may have, at most. */
apr_size_t usher_regkeys_room(const char *text, apr_size_t len);

/**
 * Read a key file.
 * @param keys   room for usher_regkeys_room(); gets the keys, sorted by id
 * @param error  filled in where it is refused; @a keys may have secrets then as well
 * @param text   not NUL-terminated
 * @return how many keys; 0: refused
 */
apr_size_t usher_regkeys_parse(usher_regkey_t *keys, usher_regkeys_error_t *error, const char *text,
                               apr_size_t len);

/** The key of an id. @param keys  sorted @return NULL: there is none */
const usher_regkey_t *usher_regkeys_find(const usher_regkey_t *keys, apr_size_t count, const char *id,
                                         apr_size_t len);

#endif /* USHER_REGKEYS_H */
