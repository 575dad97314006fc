/* The first reading, before there are children, in a process of its own.
 *
 * The parent is root, and may not wait for long: the drivers are not to be trusted with either. So
 * a process that has the children's rights connects, reads and writes the records to a pipe; the
 * parent hears it as long as something comes. What fails here is tried again, and said,
 * by the store's thread. */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unixd.h>

#include "core_store_dbd.h"

APLOG_USE_MODULE(usher);

/* How long the parent waits for the next bytes. */
#define WAIT_LIMIT 5000 /* ms */
#define NO_VALUE 0xffff

/* Goes before each record: its texts follow, without NULs. */
typedef struct {
    apr_uint16_t kind_len, key_len, value_len, pad;
    apr_uint64_t version;
    apr_int64_t life;
} start_head_t;

static int start_write(int fd, const void *bytes, apr_size_t len)
{
    const char *at = bytes;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        at += n;
        len -= (apr_size_t)n;
    }
    return 1;
}

/* In the process that reads. The parent that does not hear any more is no reason to go on. */
static void start_tell(const char *kind, const usher_store_record_t *record, void *baton)
{
    int fd = *(const int *)baton;
    start_head_t head = { (apr_uint16_t)strlen(kind), (apr_uint16_t)strlen(record->key),
                          record->value ? (apr_uint16_t)strlen(record->value) : NO_VALUE, 0,
                          record->version, record->life };

    if (!start_write(fd, &head, sizeof(head)) || !start_write(fd, kind, head.kind_len) ||
        !start_write(fd, record->key, head.key_len) ||
        (record->value && !start_write(fd, record->value, head.value_len))) {
        _exit(1);
    }
}

static int start_drop_rights(void)
{
    return geteuid() ||
           (!setgid(ap_unixd_config.group_id) &&
            !initgroups(ap_unixd_config.user_name, ap_unixd_config.group_id) &&
            !setuid(ap_unixd_config.user_id));
}

/* The parent. @return 0: no more comes */
static int start_read(int fd, void *bytes, apr_size_t len)
{
    char *at = bytes;

    while (len) {
        struct pollfd polled = { fd, POLLIN, 0 };
        int ready = poll(&polled, 1, WAIT_LIMIT);
        ssize_t n = ready > 0 ? read(fd, at, len) : 0;

        if ((ready < 0 || n < 0) && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        at += n;
        len -= (apr_size_t)n;
    }
    return 1;
}

/* @return 0: no more comes, or nothing that could be believed */
static int start_hear(int fd, core_store_see_t *see, void *baton)
{
    char kind[USHER_STORE_KIND_MAX + 1] = "", key[USHER_STORE_KEY_MAX + 1] = "";
    char value[USHER_STORE_VALUE_MAX + 1] = "";
    usher_store_record_t record = { key, value, 0, 0 };
    start_head_t head;

    if (!start_read(fd, &head, sizeof(head)) || head.kind_len > USHER_STORE_KIND_MAX ||
        head.key_len > USHER_STORE_KEY_MAX ||
        (head.value_len > USHER_STORE_VALUE_MAX && head.value_len != NO_VALUE) ||
        !start_read(fd, kind, head.kind_len) || !start_read(fd, key, head.key_len)) {
        return 0;
    }
    if (head.value_len == NO_VALUE) {
        record.value = NULL;
    }
    else if (!start_read(fd, value, head.value_len)) {
        return 0;
    }
    record.version = head.version;
    record.life = head.life;
    if (!core_store_is_sound(kind, key, record.value) || !head.version ||
        head.version > APR_INT64_MAX || head.life < 0) {
        return 0;
    }
    see(kind, &record, baton);
    return 1;
}

void core_dbd_start(apr_status_t (*read_all)(core_store_see_t *see, void *baton),
                    core_store_see_t *see, void *baton, server_rec *s)
{
    int fds[2];
    pid_t pid;

    if (pipe(fds)) {
        return;
    }
    pid = fork();
    if (!pid) {
        close(fds[0]);
        _exit(!start_drop_rights() || read_all(start_tell, &fds[1]) != APR_SUCCESS);
    }
    close(fds[1]);
    if (pid < 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, USHERLOGNO(1085)
                     "store %s: no process could be started that reads it: the children do that",
                     core_dbd_conf.name);
    }
    else {
        while (start_hear(fds[0], see, baton)) {
        }
        /* It has ended, or hangs. */
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close(fds[0]);
}
