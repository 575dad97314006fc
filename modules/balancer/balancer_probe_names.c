/* Names of members. Each is looked up by a short-lived thread, a few at a time, so that
 * a name server that does not answer holds up neither the checks nor other names.
 * What is known of a name is used until something newer is.
 *
 * A look-up cannot be called off: when it does not come back in time, a child that
 * ends goes without it, and that thread touches nothing any more. */
#include <netdb.h>
#include <pthread.h>
#include <time.h>

#include "balancer_probe_private.h"
#include "usher_thread.h"

#define LOOKUPS_MAX 8
#define FRESH_MS 30000
#define RETRY_MS 1000  /* after a look-up without an answer */
#define FORGET_MS 600000 /* after the last one: nobody seems to ask any more */
#define STOP_SECONDS 2

typedef struct name_t {
    struct name_t *next;
    enum { NAME_IDLE, NAME_RUNS, NAME_OVER } state;
    pthread_t thread; /* to be joined once it is over */
    apr_int64_t looked_up_at; /* boot clock, ms; 0: never */
    probe_address_t list[PROBE_ADDRESSES_MAX];
    int len;
    int found; /* the last look-up had an answer */
    char host[];
} name_t;

/* For all below. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static name_t *names;
static int running;
static int stopping;
static void (*wake)(void);
static _Atomic int outlived; /* the child did not wait for a look-up */

static int names_ask(const char *host, int flags, probe_address_t list[PROBE_ADDRESSES_MAX])
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags }, *all = NULL, *info;
    int n = 0;

    if (getaddrinfo(host, NULL, &hints, &all)) {
        return 0;
    }
    for (info = all; info && n < PROBE_ADDRESSES_MAX; info = info->ai_next) {
        if (info->ai_addrlen <= sizeof(list[n].sockaddr)) {
            memset(&list[n], 0, sizeof(list[n]));
            memcpy(&list[n].sockaddr, info->ai_addr, info->ai_addrlen);
            list[n++].len = info->ai_addrlen;
        }
    }
    freeaddrinfo(all);
    return n;
}

static void *names_thread(void *data)
{
    name_t *name = data;
    probe_address_t list[PROBE_ADDRESSES_MAX];
    int n = names_ask(name->host, 0, list);

    while (outlived) {
        pause(); /* what follows is gone */
    }
    pthread_mutex_lock(&mutex);
    if (n) {
        memcpy(name->list, list, sizeof(list));
        name->len = n;
    }
    name->found = n > 0;
    name->looked_up_at = balancer_now();
    name->state = NAME_OVER;
    --running;
    pthread_cond_signal(&ended);
    wake();
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Under the mutex, as the next ones. A thread that is over has done all but return. */
static void names_join(name_t *name)
{
    if (name->state == NAME_OVER) {
        pthread_join(name->thread, NULL);
        name->state = NAME_IDLE;
    }
}

/* Members come and go, and each may have a name that no other one had. */
static void names_forget_old(void)
{
    apr_int64_t now = balancer_now();
    name_t **at = &names, *name;

    while ((name = *at) != NULL) {
        if (name->state == NAME_RUNS || !name->looked_up_at
            || now - name->looked_up_at < FORGET_MS) {
            at = &name->next;
            continue;
        }
        names_join(name);
        *at = name->next;
        free(name);
    }
}

static name_t *names_known(const char *host)
{
    apr_size_t size = strlen(host) + 1;
    name_t *name;

    for (name = names; name && strcmp(name->host, host) != 0; name = name->next) {
    }
    if (!name) {
        names_forget_old();
        name = calloc(1, sizeof(*name) + size);
        if (name) {
            memcpy(name->host, host, size);
            name->next = names;
            names = name;
        }
    }
    return name;
}

static void names_refresh(name_t *name)
{
    apr_int64_t age = balancer_now() - name->looked_up_at;

    if (name->state != NAME_RUNS && running < LOOKUPS_MAX && !stopping
        && (!name->looked_up_at || age >= (name->found ? FRESH_MS : RETRY_MS))) {
        names_join(name);
        if (!usher_thread_begin(&name->thread, names_thread, name)) {
            name->state = NAME_RUNS;
            ++running;
        }
    }
}

static void names_put_port(probe_address_t *list, int len, apr_port_t port)
{
    int i;

    for (i = 0; i < len; ++i) {
        if (list[i].sockaddr.ss_family == AF_INET6) {
            ((struct sockaddr_in6 *)&list[i].sockaddr)->sin6_port = htons(port);
        }
        else {
            ((struct sockaddr_in *)&list[i].sockaddr)->sin_port = htons(port);
        }
    }
}

probe_name_e probe_names_find(const char *host, apr_port_t port,
                              probe_address_t list[PROBE_ADDRESSES_MAX], int *len)
{
    probe_name_e answer = PROBE_NAME_FOUND;
    name_t *name;

    *len = names_ask(host, AI_NUMERICHOST, list);
    if (!*len) {
        pthread_mutex_lock(&mutex);
        name = names_known(host);
        if (name) {
            names_refresh(name);
            *len = name->len;
            memcpy(list, name->list, sizeof(name->list));
        }
        answer = *len ? PROBE_NAME_FOUND
               : !name || (name->state != NAME_RUNS && name->looked_up_at) ? PROBE_NAME_NONE
                                                                        : PROBE_NAME_WAIT;
        pthread_mutex_unlock(&mutex);
    }
    names_put_port(list, *len, port);
    return answer;
}

void probe_names_start(void (*function)(void))
{
    pthread_mutex_lock(&mutex);
    wake = function;
    stopping = 0;
    pthread_mutex_unlock(&mutex);
}

void probe_names_stop(void)
{
    struct timespec limit;
    name_t *name;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += STOP_SECONDS;
    pthread_mutex_lock(&mutex);
    stopping = 1;
    while (running && !pthread_cond_timedwait(&ended, &mutex, &limit)) {
    }
    outlived = running > 0;
    while (names && !running) {
        name = names;
        names = name->next;
        names_join(name);
        free(name);
    }
    pthread_mutex_unlock(&mutex);
}
