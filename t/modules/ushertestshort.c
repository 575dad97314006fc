/* Sockets that take little at a time, for LD_PRELOAD (t/backend/short_writes.t):
 * of what httpd sends with sendmsg() and send(), which are Usher's only, each call
 * takes so many bytes as the file $USHERTEST_SHORT says, and each second one none
 * (EAGAIN). The file is
 *
 *     bytes [microseconds]
 *
 * and is read at each call; the microseconds are waited before each EAGAIN.
 * Without the file all is libc's business. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES_MAX 64

typedef ssize_t sendmsg_fn(int, const struct msghdr *, int);
typedef ssize_t send_fn(int, const void *, size_t, int);

/* How many bytes this call may send: 0 for EAGAIN, SIZE_MAX without a limit. */
static size_t short_max(void)
{
    static __thread int again;
    const char *file = getenv("USHERTEST_SHORT");
    FILE *in = file ? fopen(file, "re") : NULL;
    char line[64], *rest = line;
    unsigned long bytes, wait;

    if (!in) {
        return (size_t)-1;
    }
    if (!fgets(line, sizeof(line), in)) {
        *line = '\0';
    }
    fclose(in);
    bytes = strtoul(rest, &rest, 10);
    wait = strtoul(rest, NULL, 10);
    bytes = bytes ? bytes : 1;
    again = !again;
    if (again) {
        return bytes;
    }
    usleep((useconds_t)wait);
    errno = EAGAIN;
    return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec pieces[PIECES_MAX];
    struct msghdr little = *message;
    size_t i, max = short_max();
    sendmsg_fn *libc;

    *(void **)&libc = dlsym(RTLD_NEXT, "sendmsg");
    if (!max) {
        return -1;
    }
    for (i = 0; i < message->msg_iovlen && i < PIECES_MAX && max; ++i) {
        pieces[i] = message->msg_iov[i];
        if (pieces[i].iov_len > max) {
            pieces[i].iov_len = max;
        }
        max -= pieces[i].iov_len;
    }
    little.msg_iov = pieces;
    little.msg_iovlen = i;
    return libc(fd, &little, flags);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    size_t max = short_max();
    send_fn *libc;

    *(void **)&libc = dlsym(RTLD_NEXT, "send");
    return max ? libc(fd, bytes, len < max ? len : max, flags) : -1;
}
