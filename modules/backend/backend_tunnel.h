/**
 * @file  backend_tunnel.h
 * @brief What the two files of tunnels, backend_tunnel.c and backend_tunnel_client.c,
 *        know of each other. Nobody else includes it.
 */
#ifndef BACKEND_TUNNEL_H
#define BACKEND_TUNNEL_H

#include "backend_private.h"

/** How it ended. */
typedef enum backend_tunnel_end_e {
    BACKEND_TUNNEL_GOES_ON,
    BACKEND_TUNNEL_OVER,
    BACKEND_TUNNEL_IDLE,
    BACKEND_TUNNEL_CLIENT_BROKE,
    BACKEND_TUNNEL_BACKEND_BROKE,
    BACKEND_TUNNEL_STOPPED /**< httpd does */
} backend_tunnel_end_e;

/** A tunnel; of the thread that carries its bytes. */
typedef struct backend_tunnel_t {
    backend_exchange_t *x;
    conn_rec *c;
    apr_socket_t *socket;     /**< the client's; NULL: an HTTP/2 stream */
    apr_size_t piece;
    apr_interval_time_t idle_max;
    apr_time_t moved_at;      /**< boot clock: bytes went, in either direction */
    const char *error;        /**< what broke, a phrase */
    unsigned int no_half : 1; /**< one side's end ends the other one */
    /* From the client to the backend */
    apr_bucket_brigade *up;   /**< read and not yet sent */
    apr_size_t up_len;
    unsigned int client_ready : 1; /**< there may be something to be read */
    unsigned int client_ended : 1; /**< it will send nothing more */
    unsigned int client_hup : 1;   /**< poll() has no more to tell of it */
    unsigned int marked : 1;       /**< the last read gave an end of a request only */
    unsigned int link_shut : 1;    /**< the backend knows of the end */
    unsigned int link_deaf : 1;    /**< it takes nothing any more */
    /* From the backend to the client */
    apr_bucket_brigade *down;      /**< for passing; empty between two calls */
    unsigned int link_ready : 1;
    unsigned int link_ended : 1;
    unsigned int link_hup : 1;
    unsigned int client_full : 1;  /**< the filters hold what it does not take yet */
    unsigned int client_shut : 1;
} backend_tunnel_t;

/* backend_tunnel_client.c */

/** The request's stacks of filters become the connection's. */
void backend_tunnel_filters(request_rec *r);

/** Whether the MPM has closed the client's socket. Its number may be another
 * connection's by now: nobody may use that one any more. */
int backend_tunnel_is_cut_off(const backend_tunnel_t *t);

/** How it ended, now that the client's side has failed with @a rv. */
backend_tunnel_end_e backend_tunnel_client_broke(backend_tunnel_t *t, apr_status_t rv);

/** Read t->up full, as far as there is something. */
backend_tunnel_end_e backend_tunnel_read(backend_tunnel_t *t);

/** Pass t->down on. */
backend_tunnel_end_e backend_tunnel_pass(backend_tunnel_t *t);

/** Have the last filter write what it holds, as far as the socket takes it. */
backend_tunnel_end_e backend_tunnel_push(backend_tunnel_t *t);

/** The backend's end goes on. */
backend_tunnel_end_e backend_tunnel_shut(backend_tunnel_t *t);

#endif /* BACKEND_TUNNEL_H */
