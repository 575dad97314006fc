/**
 * @file  usher_sealed.h
 * @brief Memory behind a descriptor that nobody can change any more.
 *
 * Who is given such a descriptor by somebody he does not trust checks it once: what he maps then
 * neither changes nor shrinks.
 */
#ifndef USHER_SEALED_H
#define USHER_SEALED_H

#include <apr.h>

/**
 * Make memory, still to be written.
 * @param name  for /proc; a letter or more
 * @param size  bytes, more than 0; they are there: no write fails later
 * @param room  gets where to write: zeros
 * @return a descriptor, closed by exec; -1: errno says why
 */
int usher_sealed_make(const char *name, apr_size_t size, void **room);

/** Seal what usher_sealed_make() made; @a room is unmapped. @return 0; -1: errno says why */
int usher_sealed_seal(int fd, void *room, apr_size_t size);

/** Whether it is memory, and sealed. @param size  gets its bytes @return 1; 0 */
int usher_sealed_check(int fd, apr_size_t *size);

#endif /* USHER_SEALED_H */
