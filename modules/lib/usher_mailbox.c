/* Letters are datagrams: the one on top is the oldest. A new one is put behind it first, and
 * then what is on top is taken away until that is the new one: so there always is one. */
#include "usher_mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* No more letters than this are taken away: somebody fills the box all the time. */
#define TRIES 256

typedef union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
} mailbox_control_t;

int usher_mailbox_make(usher_mailbox_t *box)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
        box->in = box->out = -1;
        return errno;
    }
    box->in = pair[0];
    box->out = pair[1];
    return 0;
}

void usher_mailbox_close(usher_mailbox_t *box)
{
    if (box->in >= 0) {
        close(box->in);
        close(box->out);
        box->in = box->out = -1;
    }
}

/* The descriptor of a letter; all that came are closed but this one.
 * @return 1; 0: there are others */
static int mailbox_take_fd(struct msghdr *message, int *fd)
{
    struct cmsghdr *header;

    *fd = -1;
    for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS
            && header->cmsg_len >= CMSG_LEN(sizeof(int))) {
            memcpy(fd, CMSG_DATA(header), sizeof(*fd));
        }
    }
    if (*fd >= 0 && message->msg_flags & MSG_CTRUNC) {
        close(*fd);
        *fd = -1;
    }
    return !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC));
}

int usher_mailbox_look(const usher_mailbox_t *box, void *text, apr_size_t len, int *fd)
{
    mailbox_control_t control;
    struct iovec part = { text, len };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = CMSG_LEN(sizeof(int)) }; /* for just one */
    ssize_t n = recvmsg(box->out, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int is_whole;

    *fd = -1;
    if (n < 0) {
        return 0;
    }
    is_whole = mailbox_take_fd(&message, fd);
    if (is_whole && (apr_size_t)n == len) {
        return 1;
    }
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return -1;
}

/* Its descriptor goes with it. @return 0: there is none */
static int mailbox_drop(const usher_mailbox_t *box)
{
    char byte;

    return recv(box->out, &byte, 1, MSG_DONTWAIT) >= 0;
}

static int mailbox_send(const usher_mailbox_t *box, const void *text, apr_size_t len, int fd)
{
    mailbox_control_t control;
    struct iovec part = { (void *)text, len };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int));
    }
    return sendmsg(box->in, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

static int mailbox_is_on_top(const usher_mailbox_t *box, const void *text, apr_size_t len,
                             void *room)
{
    int fd, is = usher_mailbox_look(box, room, len, &fd) == 1 && !memcmp(room, text, len);

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

int usher_mailbox_put(const usher_mailbox_t *box, const void *text, apr_size_t len, int fd)
{
    void *room = malloc(len ? len : 1);
    int i, error = room ? mailbox_send(box, text, len, fd) : ENOMEM;

    for (i = 0; (error == EAGAIN || error == ENOBUFS) && i < TRIES && mailbox_drop(box); ++i) {
        error = mailbox_send(box, text, len, fd);
    }
    for (i = 0; !error && i < TRIES && !mailbox_is_on_top(box, text, len, room); ++i) {
        mailbox_drop(box);
    }
    free(room);
    return error;
}
