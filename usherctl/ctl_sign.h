/**
 * @file  ctl_sign.h
 * @brief Requests that are signed with a key of UsherRegisterKeys.
 */
#ifndef CTL_SIGN_H
#define CTL_SIGN_H

#include "ctl_fetch.h"

/**
 * Sign a request (RFC 9421, hmac-sha256; a body's digest by RFC 9530).
 * @param request  gets the fields
 * @param url      that it goes to; its path is sent as it is
 * @param key      "FILE:KEYID"
 * @return CTL_DONE, or CTL_FAILED after it said why
 */
int ctl_sign(apr_pool_t *p, ctl_request_t *request, const char *url, const char *key);

#endif /* CTL_SIGN_H */
