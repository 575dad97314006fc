/**
 * @file  usher_ban.h
 * @brief What other modules tell mod_usher_ban: things that went wrong, which its rules may count.
 */
#ifndef USHER_BAN_H
#define USHER_BAN_H

#include <apr_optional.h>
#include <httpd.h>

typedef enum {
    USHER_BAN_HANDSHAKE, /**< a TLS handshake failed */
    USHER_BAN_REGISTER   /**< a registration was refused: not signed, wrongly signed, not allowed */
} usher_ban_event_e;

/**
 * Something went wrong for which a client may be banned. Cheap where no rule counts it; the caller
 * need not know who the client is, nor whether he may be banned.
 * @param c     the connection
 * @param r     the request; NULL: there is none
 * @param what  for the audit: "no shared cipher", in words; static or of the connection's pool
 */
APR_DECLARE_OPTIONAL_FN(void, usher_ban_event,
                        (usher_ban_event_e event, conn_rec *c, request_rec *r, const char *what));

#endif /* USHER_BAN_H */
