/* A wall clock that jumps, for LD_PRELOAD (t/register/leases.t): so many seconds are added to it
 * as the file $USHERTEST_CLOCK says, which is read at each call; and a machine that was booted
 * $USHERTEST_BOOTED seconds earlier (t/core/registry.t). Other clocks are as they are.
 *
 * Asked of the kernel alone: a sanitizer wants to know the time before libc is ready. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long clock_offset(void)
{
    const char *file = getenv("USHERTEST_CLOCK");
    long fd = file ? syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC) : -1;
    char line[32] = "";

    if (fd < 0) {
        return 0;
    }
    if (syscall(SYS_read, fd, line, sizeof(line) - 1) < 0) {
        *line = '\0';
    }
    syscall(SYS_close, fd);
    return strtol(line, NULL, 10);
}

int clock_gettime(clockid_t which, struct timespec *time)
{
    int rc = (int)syscall(SYS_clock_gettime, which, time);

    if (!rc && which == CLOCK_REALTIME) {
        time->tv_sec += clock_offset();
    }
    if (!rc && which == CLOCK_BOOTTIME && getenv("USHERTEST_BOOTED")) {
        time->tv_sec += strtol(getenv("USHERTEST_BOOTED"), NULL, 10);
    }
    return rc;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec time = { 0 };
    int rc = clock_gettime(CLOCK_REALTIME, &time);

    (void)zone;
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *to)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_REALTIME, &now);
    if (to) {
        *to = now.tv_sec;
    }
    return now.tv_sec;
}
