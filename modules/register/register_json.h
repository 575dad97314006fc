/**
 * @file  register_json.h
 * @brief What requests say in their bodies. Anybody with a key may have written it.
 */
#ifndef REGISTER_JSON_H
#define REGISTER_JSON_H

#include <jansson.h>

#include "register_url.h"
#include "usher_roster.h"

/** Longest name of a secret, without its NUL. */
#define REGISTER_SECRET_NAME_MAX 63

/** Longest lease and drain of all, ms: a day. */
#define REGISTER_TIME_MAX 86400000

/** Fields, as bits. */
enum {
    REGISTER_HAS_URL = 1,
    REGISTER_HAS_WEIGHT = 2,
    REGISTER_HAS_LEASE = 4,
    REGISTER_HAS_CHECK = 8,
    REGISTER_HAS_LABELS = 16,
    REGISTER_HAS_SECRET = 32,
    REGISTER_HAS_SECRET_NAME = 64,
    REGISTER_HAS_LOAD = 128,
    REGISTER_HAS_DEADLINE = 256
};

/** What is asked for; fields that are not there are 0 and "". */
typedef struct register_ask_t {
    unsigned int has; /**< which were there */
    register_url_t url;
    apr_uint32_t weight;
    apr_uint32_t lease;    /**< ms */
    apr_uint32_t deadline; /**< ms */
    apr_int32_t load;      /**< per cent */
    char check[USHER_ROSTER_CHECK_SIZE];
    char labels[USHER_ROSTER_LABELS_SIZE]; /**< a JSON object without blanks, sorted */
    char secret[USHER_ROSTER_SECRET_SIZE];
    char secret_name[REGISTER_SECRET_NAME_MAX + 1];
} register_ask_t;

/** What is wrong with it. */
typedef struct register_wrong_t {
    const char *code;  /**< "bad-json", "bad-value", "bad-url" */
    char message[256]; /**< printable ASCII */
} register_wrong_t;

/**
 * Read a body.
 * @param allowed  the fields that it may have
 * @param bytes    not NUL-terminated; none at all is an empty object
 * @return 1; 0: @a wrong tells why
 */
int register_json_read(register_ask_t *ask, unsigned int allowed, const char *bytes,
                       apr_size_t len, register_wrong_t *wrong);

/** Read a JSON object: no field twice, not deep. @return NULL: it is none */
json_t *register_json_object(const char *bytes, apr_size_t len);

/** Whether a text may say how a member is checked: "", "tcp", "cping", or a path. */
int register_json_is_check(const char *text);

/** Labels as the roster has them: an object of texts. @return 1; 0: they are not, or too long */
int register_json_labels(char to[USHER_ROSTER_LABELS_SIZE], const json_t *labels);

#endif /* REGISTER_JSON_H */
