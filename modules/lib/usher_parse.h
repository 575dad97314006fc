/**
 * @file  usher_parse.h
 * @brief What a parser makes of the bytes so far.
 */
#ifndef USHER_PARSE_H
#define USHER_PARSE_H

typedef enum {
    USHER_PARSE_DONE, /**< whole; the rest of the buffer is not looked at */
    USHER_PARSE_MORE, /**< fine so far; call again with more bytes */
    USHER_PARSE_BAD   /**< can become nothing valid, whatever follows */
} usher_parse_e;

#endif /* USHER_PARSE_H */
