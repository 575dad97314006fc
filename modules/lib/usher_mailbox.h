/**
 * @file  usher_mailbox.h
 * @brief A place where processes that descend from one leave one another a letter: a text, and
 *        perhaps a descriptor.
 *
 * The letter stays there for all who look, also for those that come later. It is a datagram that
 * waits in a pair of sockets, so it survives whoever wrote it, and a process that is killed
 * leaves either the old letter or the new one on top; never half of one. Several that write at
 * the same time may leave none at all, or a hostile one anything: whoever looks must live with
 * that. Nothing here waits.
 */
#ifndef USHER_MAILBOX_H
#define USHER_MAILBOX_H

#include <apr.h>

typedef struct usher_mailbox_t {
    int in, out;
} usher_mailbox_t;

/** Make an empty one. @return 0, or an error number */
int usher_mailbox_make(usher_mailbox_t *box);

void usher_mailbox_close(usher_mailbox_t *box);

/**
 * Put a letter into it, in place of those that are there.
 * @param fd  -1: none. It stays the caller's
 * @return 0, or an error number
 */
int usher_mailbox_put(const usher_mailbox_t *box, const void *text, apr_size_t len, int fd);

/**
 * Look at the letter.
 * @param text  gets exactly @a len bytes
 * @param fd    gets a descriptor of the caller's own, closed by exec; -1: the letter has none
 * @return 1; 0: there is no letter; -1: one of another length, or with more descriptors
 */
int usher_mailbox_look(const usher_mailbox_t *box, void *text, apr_size_t len, int *fd);

#endif /* USHER_MAILBOX_H */
