/**
 * @file  usher_thread.h
 * @brief Threads of a module in httpd's children.
 */
#ifndef USHER_THREAD_H
#define USHER_THREAD_H

#include <pthread.h>

/**
 * Begin a thread that gets no signals: those are for the child's own threads, and what a
 * handler does there must not happen in this one.
 * @param data  for the function
 * @return 0, or an error number
 */
int usher_thread_begin(pthread_t *thread, void *(*function)(void *), void *data);

#endif /* USHER_THREAD_H */
