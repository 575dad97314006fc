/* Mailboxes: the letter stays for all who look; processes that write at the same time and are
 * killed never leave half a letter; garbage is told apart, and goes with the next letter. */
#include "unit.h"
#include "hammer.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "usher_mailbox.h"
#include "usher_sealed.h"

enum { SIZE = 600 };

typedef struct {
    apr_uint64_t number, square;
    char pad[500];
} letter_t;

static letter_t letter(apr_uint64_t number)
{
    letter_t text = { number, number * number, { 0 } };

    return text;
}

/* Sealed memory that is full of the number. -1: none */
static int image(apr_uint64_t number)
{
    void *room;
    apr_uint64_t *words;
    int i, fd = usher_sealed_make("unit", SIZE * sizeof(number), &room);

    if (fd < 0) {
        return -1;
    }
    for (words = room, i = 0; i < SIZE; ++i) {
        words[i] = number;
    }
    return usher_sealed_seal(fd, room, SIZE * sizeof(number)) ? -1 : fd;
}

/* Of the letter with its image; 0: there is none. All that is found belongs together. */
static apr_uint64_t look(const usher_mailbox_t *box)
{
    letter_t text = letter(0);
    apr_uint64_t *words;
    apr_size_t size;
    int fd, i, wrong = 0, found = usher_mailbox_look(box, &text, sizeof(text), &fd);

    ck_assert_int_ge(found, 0);
    if (!found) {
        return 0;
    }
    ck_assert_uint_eq(text.square, text.number * text.number);
    ck_assert(usher_sealed_check(fd, &size));
    ck_assert_uint_eq(size, SIZE * sizeof(*words));
    words = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    ck_assert_ptr_ne(words, MAP_FAILED);
    for (i = 0; i < SIZE; ++i) {
        wrong += words[i] != text.number;
    }
    ck_assert_int_eq(wrong, 0);
    munmap(words, size);
    return text.number;
}

/* @return 0, or an error number */
static int put_in(const usher_mailbox_t *box, apr_uint64_t number)
{
    letter_t text = letter(number);
    int fd = image(number), error;

    error = fd < 0 ? errno : usher_mailbox_put(box, &text, sizeof(text), fd);
    close(fd);
    return error;
}

static void put(const usher_mailbox_t *box, apr_uint64_t number)
{
    ck_assert_int_eq(put_in(box, number), 0);
}

/* In a process that will be killed: what Check's macros tell the runner could be cut off then.
 * @param step  from one letter's number to the next one's */
static void put_for_ever(const usher_mailbox_t *box, apr_uint64_t number, apr_uint64_t step)
{
    while (!put_in(box, number)) {
        number += step;
    }
    _exit(1);
}

static void end(pid_t writer)
{
    int status;

    kill(writer, SIGKILL);
    ck_assert_int_eq(waitpid(writer, &status, 0), writer);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int descriptors(void)
{
    int fd, n = 0;

    for (fd = 0; fd < 1024; ++fd) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

START_TEST(letters)
{
    usher_mailbox_t box;
    letter_t text;
    int before = descriptors(), fd, i;

    ck_assert_int_eq(usher_mailbox_make(&box), 0);
    ck_assert_uint_eq(look(&box), 0);
    for (i = 1; i < 300; ++i) {
        put(&box, (apr_uint64_t)i);
        ck_assert_uint_eq(look(&box), i);
        ck_assert_uint_eq(look(&box), i);
    }
    /* without a descriptor */
    text = letter(7);
    ck_assert_int_eq(usher_mailbox_put(&box, &text, sizeof(text), -1), 0);
    ck_assert_int_eq(usher_mailbox_look(&box, &text, sizeof(text), &fd), 1);
    ck_assert_int_eq(fd, -1);
    ck_assert_uint_eq(text.number, 7);
    ck_assert_int_eq(descriptors(), before + 2);
    usher_mailbox_close(&box);
    ck_assert_int_eq(descriptors(), before);
}
END_TEST

static void send_fds(int to, const void *text, size_t len, const int *fds, size_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec part = { (void *)text, len };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
    ck_assert_int_eq(sendmsg(to, &message, 0), len);
}

START_TEST(garbage)
{
    usher_mailbox_t box;
    letter_t text = letter(3);
    int fds[8], fd, i, before;

    ck_assert_int_eq(usher_mailbox_make(&box), 0);
    before = descriptors();
    /* too long, too short, empty */
    ck_assert_int_eq(send(box.in, &text, sizeof(text), 0), sizeof(text));
    ck_assert_int_eq(usher_mailbox_look(&box, &text, sizeof(text) - 1, &fd), -1);
    ck_assert_int_eq(usher_mailbox_look(&box, &text, sizeof(text), &fd), 1);
    put(&box, 4);
    ck_assert_uint_eq(look(&box), 4);
    recv(box.out, &text, sizeof(text), 0);
    send(box.in, &text, 5, 0);
    send(box.in, &text, 0, 0);
    ck_assert_int_eq(usher_mailbox_look(&box, &text, sizeof(text), &fd), -1);
    put(&box, 5);
    ck_assert_uint_eq(look(&box), 5);
    recv(box.out, &text, sizeof(text), 0);
    /* several descriptors */
    for (i = 0; i < 8; ++i) {
        fds[i] = box.in;
    }
    send_fds(box.in, &text, sizeof(text), fds, 8);
    ck_assert_int_eq(usher_mailbox_look(&box, &text, sizeof(text), &fd), -1);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(descriptors(), before);
    /* full of it */
    while (send(box.in, &text, sizeof(text), MSG_DONTWAIT) > 0) {
    }
    put(&box, 6);
    ck_assert_uint_eq(look(&box), 6);
    ck_assert_int_eq(descriptors(), before);
    /* broken */
    shutdown(box.out, SHUT_RDWR);
    text = letter(8);
    ck_assert_int_ne(usher_mailbox_put(&box, &text, sizeof(text), -1), 0);
    usher_mailbox_close(&box);
}
END_TEST

START_TEST(seals)
{
    int fd = image(9), other;
    char path[64];
    apr_size_t size;
    void *room;

    ck_assert_int_ge(fd, 0);
    ck_assert(usher_sealed_check(fd, &size));
    ck_assert_int_eq(ftruncate(fd, 10), -1);
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_ptr_eq(mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    other = open(path, O_RDONLY);
    ck_assert(usher_sealed_check(other, &size));
    close(other);
    close(fd);
    fd = usher_sealed_make("unit", 10, &room);
    ck_assert(!usher_sealed_check(fd, &size)); /* not yet */
    munmap(room, 10);
    close(fd);
    fd = open("/dev/zero", O_RDONLY);
    ck_assert(!usher_sealed_check(fd, &size));
    close(fd);
    ck_assert(!usher_sealed_check(-1, &size));
}
END_TEST

/* Writers that are killed all the time, and readers that find a letter that is whole. */
START_TEST(kills)
{
    enum { WRITERS = 4, KILLS = 60 };
    hammer_t until = hammer_begin(0, 0);
    usher_mailbox_t box;
    pid_t writers[WRITERS];
    unsigned int seed = 1;
    int i, n, round, found = 0;

    ck_assert_int_eq(usher_mailbox_make(&box), 0);
    put(&box, 1);
    for (n = 0; n < KILLS || hammer_on(&until, found > KILLS); ++n) {
        for (i = 0; i < WRITERS; ++i) {
            writers[i] = fork();
            if (!writers[i]) {
                put_for_ever(&box, 2 + (apr_uint64_t)i, WRITERS);
            }
        }
        for (round = 0; round < 5; ++round) {
            usleep((useconds_t)(rand_r(&seed) % 400));
            found += look(&box) > 0;
        }
        for (i = 0; i < WRITERS; ++i) {
            end(writers[i]);
        }
        look(&box);
        put(&box, 1);
        ck_assert_uint_eq(look(&box), 1);
    }
    ck_assert_int_gt(found, KILLS);
    usher_mailbox_close(&box);
}
END_TEST

/* One writer that is killed: there always is a letter. */
START_TEST(killed_alone)
{
    enum { KILLS = 100 };
    hammer_t until = hammer_begin(0, 0);
    usher_mailbox_t box;
    apr_uint64_t last = 1;
    unsigned int seed = 1;
    int n, round;

    ck_assert_int_eq(usher_mailbox_make(&box), 0);
    put(&box, last);
    for (n = 0; n < KILLS || hammer_on(&until, last > KILLS); ++n) {
        pid_t pid = fork();
        apr_uint64_t now;

        if (!pid) {
            put_for_ever(&box, last + 1, 1);
        }
        for (round = 0; round < 5; ++round) {
            now = look(&box);
            ck_assert_uint_ge(now, last);
            last = now;
            /* Longer where those before had no time to write. */
            usleep((useconds_t)(rand_r(&seed) % (n < KILLS ? 300 : 3000)));
        }
        end(pid);
        now = look(&box);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_gt(last, KILLS);
    usher_mailbox_close(&box);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, letters);
    tcase_add_test(tests, garbage);
    tcase_add_test(tests, seals);
    tcase_add_test(tests, kills);
    tcase_add_test(tests, killed_alone);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
