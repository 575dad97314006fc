/* getaddrinfo() as a test wants it, for LD_PRELOAD (t/lib/Usher/Names.pm):
 * names that end in .test have the addresses in the file $USHERTEST_NAMES, which
 * is read at each call; all others are libc's business. A line is
 *
 *     name [wait] address...
 *
 * "wait" is a name server that does not answer, as long as it is there. Each
 * call adds a line with its name to $USHERTEST_NAMES.asked.
 *
 * A connect() to 100::, where nobody can be (RFC 6666), fails as one to any address of
 * IPv6 does on a machine without it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024
#define WAIT_INTERVAL 20000 /* microseconds */

typedef int lookup_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static lookup_fn *names_libc(void)
{
    lookup_fn *libc;

    *(void **)&libc = dlsym(RTLD_NEXT, "getaddrinfo");
    return libc;
}

static int names_is_ours(const char *node)
{
    size_t len = node ? strlen(node) : 0;

    return len > 5 && !strcmp(node + len - 5, ".test");
}

static void names_note(const char *file, const char *node)
{
    char path[LINE_SIZE], line[LINE_SIZE];
    int fd;

    snprintf(path, sizeof(path), "%s.asked", file);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
        snprintf(line, sizeof(line), "%s\n", node);
        if (write(fd, line, strlen(line)) < 0) {
            perror(path);
        }
        close(fd);
    }
}

/* What the file says of a name: its addresses, in line; NULL if nothing. */
static char *names_find(const char *file, const char *node, char line[LINE_SIZE])
{
    FILE *in = fopen(file, "re");
    char *rest = NULL, *name;

    while (in && !rest && fgets(line, LINE_SIZE, in)) {
        name = strtok_r(line, " \n", &rest);
        if (!name || strcmp(name, node) != 0) {
            rest = NULL;
        }
    }
    if (in) {
        fclose(in);
    }
    return rest;
}

/* Not AI_ADDRCONFIG: a machine without network has our addresses as well. The
 * nodes of glibc's lists are freed one by one, so that lists may be joined. */
static int names_answer(char *addresses, const char *service, const struct addrinfo *hints,
                        struct addrinfo **all)
{
    struct addrinfo how = { 0 }, **end = all;
    char *address, *rest = NULL;

    if (hints) {
        how = *hints;
    }
    how.ai_flags = (how.ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST;
    *all = NULL;
    for (address = strtok_r(addresses, " \n", &rest); address;
         address = strtok_r(NULL, " \n", &rest)) {
        if (names_libc()(address, service, &how, end) != 0) {
            *end = NULL; /* not of the family asked for */
        }
        while (*end) {
            end = &(*end)->ai_next;
        }
    }
    return *all ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **answer)
{
    const char *file = getenv("USHERTEST_NAMES");
    char line[LINE_SIZE], *addresses;

    if (!file || !names_is_ours(node)) {
        return names_libc()(node, service, hints, answer);
    }
    if (hints && (hints->ai_flags & AI_NUMERICHOST)) {
        return EAI_NONAME;
    }
    names_note(file, node);
    while ((addresses = names_find(file, node, line)) && !strncmp(addresses, "wait", 4)) {
        usleep(WAIT_INTERVAL);
    }
    return addresses ? names_answer(addresses, service, hints, answer) : EAI_NONAME;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    static const unsigned char nobody[16] = { 1 };
    const struct sockaddr_in6 *in6 = (const void *)address;
    int (*libc)(int, const struct sockaddr *, socklen_t);

    if (len >= sizeof(*in6) && address->sa_family == AF_INET6
        && !memcmp(&in6->sin6_addr, nobody, sizeof(nobody))) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    *(void **)&libc = dlsym(RTLD_NEXT, "connect");
    return libc(fd, address, len);
}
