/**
 * @file  usher_secret.h
 * @brief Files with secrets: who may own and read them, and reading them.
 *
 * Such a file belongs to root or to the user that httpd runs as; nobody else has access,
 * but the group that httpd runs as may have.
 */
#ifndef USHER_SECRET_H
#define USHER_SECRET_H

#include <apr_pools.h>
#include <sys/stat.h>
#include <sys/types.h>

/** Whom httpd runs as. */
typedef struct usher_secret_user_t {
    uid_t uid;
    gid_t gid;
} usher_secret_user_t;

/**
 * Why a file may not hold a secret.
 * @param info  of the file that was opened, not of its name
 * @param path  for the remedy
 * @return NULL: it may
 */
const char *usher_secret_why_not(apr_pool_t *p, const struct stat *info, const char *path,
                                 const usher_secret_user_t *user);

/**
 * Read such a file. Symbolic links are followed; what they lead to counts. Never waits for
 * a writer, as a pipe would.
 * @param bytes  gets the contents; the caller wipes them
 * @param len    the room there; gets how many bytes the file has
 * @param info   gets what fstat() says
 * @return NULL; else why it was refused, with the remedy, and @a bytes are wiped
 */
const char *usher_secret_read(apr_pool_t *p, char *bytes, apr_size_t *len, struct stat *info,
                              const char *path, const usher_secret_user_t *user);

/** Whether two looks at a file saw the same contents, as far as can be told. */
int usher_secret_is_same(const struct stat *a, const struct stat *b);

/**
 * Whether the user could open a file, by the modes of the file and of the folders that
 * lead to it. Further groups of the user and access lists are not asked.
 * @return 1 or 0
 */
int usher_secret_can_read(const char *path, const usher_secret_user_t *user);

#endif /* USHER_SECRET_H */
