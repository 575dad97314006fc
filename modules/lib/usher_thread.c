#include "usher_thread.h"

#include <signal.h>

int usher_thread_begin(pthread_t *thread, void *(*function)(void *), void *data)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, function, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
