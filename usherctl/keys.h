/**
 * @file  keys.h
 * @brief Key files of sticky cookies, as usherctl changes them: line by line, so that what
 *        people wrote beside the keys stays.
 */
#ifndef KEYS_H
#define KEYS_H

#include <sys/stat.h>

#include "usher_keys.h"
#include "usherctl.h"

/** Where a line begins, and where the next one does. */
typedef struct {
    apr_size_t from, to;
} keys_line_t;

/** A key file, read. Has secrets: keys_text_wipe(). */
typedef struct {
    const char *path; /**< of the file itself, not of a link to it */
    struct stat info;
    char bytes[USHER_KEYS_FILE_MAX + 128];
    apr_size_t len;
    usher_keyring_t ring;
    keys_line_t lines[USHER_KEYS_MAX]; /**< of each key of the ring */
} keys_text_t;

/** Says what is wrong with a file. @return CTL_FAILED */
int keys_fails(apr_pool_t *p, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* keys_text.c: each returns CTL_DONE, or CTL_FAILED after it said why. */

/** An empty file that is to be. */
void keys_text_begin(keys_text_t *text, const char *path);
int keys_text_read(apr_pool_t *p, keys_text_t *text, const char *path);
void keys_text_wipe(keys_text_t *text);
/** Add a random key, before the key of that index; behind all where it is their number. */
int keys_text_add(apr_pool_t *p, keys_text_t *text, int before);
/** Take a key out. */
int keys_text_remove(apr_pool_t *p, keys_text_t *text, int i);
/** Move a key to the front. */
int keys_text_promote(apr_pool_t *p, keys_text_t *text, int i);

/* keys_write.c */

/** Make a file that is not there yet. @param group  may read it; -1: nobody */
int keys_write_new(apr_pool_t *p, const keys_text_t *text, gid_t group);
/** Put it in the place of the file that was read, with the same owner and mode: whoever
 * opens it sees either the old or the new one. */
int keys_write_again(apr_pool_t *p, const keys_text_t *text);

#endif /* KEYS_H */
