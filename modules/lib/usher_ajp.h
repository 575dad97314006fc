/**
 * @file  usher_ajp.h
 * @brief AJP13 packets, as a web server writes and reads them.
 *
 * A packet is a frame of four bytes (magic, length of what follows) and its
 * content; the first byte of that is its type. Strings are a length of two
 * bytes, the bytes, and a NUL; a length of 0xFFFF is the null string, of which
 * nothing follows.
 *
 * Containers are hostile here: what is doubtful is refused. Nothing is
 * allocated; all functions are pure and may be called from any thread.
 */
#ifndef USHER_AJP_H
#define USHER_AJP_H

#include <apr.h>

#include "usher_parse.h"

/** Bytes of a packet, frame included: by default, and at most. */
#define USHER_AJP_PACKET_DEFAULT 8192
#define USHER_AJP_PACKET_MAX     65536
/** Bytes before the data of a packet of the request's body. */
#define USHER_AJP_BODY_FRAME 6

/* Writing */

/** A packet that is being written. */
typedef struct usher_ajp_writer_t {
    char *buf;
    apr_size_t size;
    apr_size_t len;            /**< bytes so far, frame included */
    unsigned int overflow : 1; /**< something did not fit; nothing does any more */
} usher_ajp_writer_t;

/** The type of FORWARD_REQUEST. In this order: type and method, a byte each; the
 * strings protocol, URI, client's address, client's name and server's name; the port,
 * a number; whether it is TLS, a byte; how many headers, a number; headers;
 * attributes; the byte USHER_AJP_ATTRIBUTES_END. */
#define USHER_AJP_FORWARD 0x02
#define USHER_AJP_ATTRIBUTES_END 0xFF

/** Attributes of a request, by their code. */
typedef enum {
    USHER_AJP_REMOTE_USER = 0x03,
    USHER_AJP_AUTH_TYPE = 0x04,
    USHER_AJP_QUERY_STRING = 0x05,
    USHER_AJP_ROUTE = 0x06,
    USHER_AJP_SSL_CERT = 0x07,
    USHER_AJP_SSL_CIPHER = 0x08,
    USHER_AJP_SSL_SESSION = 0x09,
    USHER_AJP_SSL_KEY_SIZE = 0x0B, /**< a number of 16 bits; the others are strings */
    USHER_AJP_SECRET = 0x0C,
    USHER_AJP_METHOD = 0x0D        /**< of a method without a code */
} usher_ajp_attribute_e;

/** The code of a method without one. */
#define USHER_AJP_METHOD_OTHER 0xFF

/** Begin a packet for a container. @param size  of buf, at least 5; what is over
 * USHER_AJP_PACKET_MAX is not used */
void usher_ajp_begin(usher_ajp_writer_t *w, char *buf, apr_size_t size);

/** @param value  over 0xFF: overflow */
void usher_ajp_put_byte(usher_ajp_writer_t *w, unsigned int value);
/** A number of 16 bits. @param value  over 0xFFFF: overflow */
void usher_ajp_put_int(usher_ajp_writer_t *w, unsigned int value);
/** @param text  NULL for the null string. Too long for its 16 bits: overflow */
void usher_ajp_put_string(usher_ajp_writer_t *w, const char *text);
/** A header of the request; its name as a code where there is one. A name so long that
 * it would be taken for a code: overflow. What is in them is not looked at. */
void usher_ajp_put_field(usher_ajp_writer_t *w, const char *name, const char *value);
/** An attribute whose value is a string. */
void usher_ajp_put_attribute(usher_ajp_writer_t *w, usher_ajp_attribute_e code,
                             const char *value);
/** A request attribute of any name. */
void usher_ajp_put_named(usher_ajp_writer_t *w, const char *name, const char *value);

/** The code of a method, by its exact name. @return USHER_AJP_METHOD_OTHER where it
 * has none */
unsigned int usher_ajp_method(const char *method);

/** Write the frame; the packet is at buf, w->len bytes. @return 1; 0 where something
 * did not fit */
int usher_ajp_end(usher_ajp_writer_t *w);

/**
 * What comes before n bytes of the request's body in a packet of their own.
 * @param n  0: the packet that says the body has ended; at most
 *           USHER_AJP_PACKET_MAX - USHER_AJP_BODY_FRAME
 */
void usher_ajp_body_frame(char frame[USHER_AJP_BODY_FRAME], apr_size_t n);

/** CPING, a whole packet. */
extern const char usher_ajp_ping[5];

/* Reading */

typedef enum {
    USHER_AJP_BODY = 0x03,    /**< SEND_BODY_CHUNK: some of the answer's body */
    USHER_AJP_HEAD = 0x04,    /**< SEND_HEADERS */
    USHER_AJP_END = 0x05,     /**< END_RESPONSE */
    USHER_AJP_ASK = 0x06,     /**< GET_BODY_CHUNK: some of the request's body is wanted */
    USHER_AJP_PONG = 0x09     /**< CPONG */
} usher_ajp_type_e;

/** Bytes of a BODY packet before its data. */
#define USHER_AJP_DATA_AT 7

/** A packet of a container. */
typedef struct usher_ajp_packet_t {
    usher_ajp_type_e type;
    /** Its bytes, frame included. Of a BODY only those before its data, which
     * are followed by data_len bytes and a NUL. */
    apr_size_t len;
    apr_size_t data_len; /**< BODY: 0 is a request to flush. ASK: bytes wanted at most, not 0 */
    unsigned int reuse : 1; /**< END: the connection may be used again; by no value but 1 */
} usher_ajp_packet_t;

/** Why a packet is bad that is longer than was agreed: what usher_ajp_packet() says
 * then, for those who know what to do about it. */
extern const char usher_ajp_too_long[];

/**
 * Understand the next packet. A BODY is done before its data has come; of a
 * HEAD only the frame is understood, see usher_ajp_head(). Bad as soon as it can
 * be known: wrong magic, an unknown type, a length that does not fit the type or
 * is over the limit, an ASK for nothing. The NUL behind a BODY's data is the
 * caller's to check.
 * @param buf     from its first byte
 * @param len     bytes in buf; 0 is allowed
 * @param max     bytes that a packet may have, frame included
 * @param packet  gets it when done
 * @param why     gets a phrase for a log when it is bad: static
 */
usher_parse_e usher_ajp_packet(const char *buf, apr_size_t len, apr_size_t max,
                               usher_ajp_packet_t *packet, const char **why);

/** What SEND_HEADERS tells. */
typedef struct usher_ajp_head_t {
    int status;                /**< 200 to 999 */
    const char *reason;        /**< in the packet, terminated; "" where it is null */
    apr_size_t reason_len;
    unsigned int fields;
    apr_size_t fields_at;      /**< where the first one begins */
    apr_int64_t content_length; /**< bytes; -1 where none is said */
} usher_ajp_head_t;

/** A header. Both terminated; the name may be static, else they are in the packet.
 * A null value is "". */
typedef struct usher_ajp_field_t {
    const char *name;
    const char *value;
} usher_ajp_field_t;

/**
 * Understand a whole SEND_HEADERS packet. Bad: a string that is not inside the
 * packet or has no NUL behind it, or has a NUL, CR, LF or another control
 * character but a tab in it; a name that is none (RFC 9110, 5.1) or an unknown code; a
 * Content-Length that is no number (not even blanks around it), or two that differ; an
 * interim status; bytes behind the last header. Other headers are not interpreted: what
 * says something of an HTTP/1 frame or connection is the caller's to drop.
 * @param packet      as usher_ajp_packet() found it
 * @param len         its bytes
 * @param fields_max  how many headers it may have
 * @param why         gets a phrase for a log when it is bad: static
 * @return 1; 0 when it is bad
 */
int usher_ajp_head(usher_ajp_head_t *head, const char *packet, apr_size_t len,
                   unsigned int fields_max, const char **why);

/**
 * Tell the next header of a packet that usher_ajp_head() found good.
 * @param packet  the same, or a copy of it
 * @param at      head->fields_at for the first one; moves on
 * @return 1, or 0 after the last one
 */
int usher_ajp_next_field(const char *packet, apr_size_t len, apr_size_t *at,
                         usher_ajp_field_t *field);

#endif /* USHER_AJP_H */
