/**
 * @file  ctl_json.h
 * @brief What commands print as JSON, whatever the bytes are.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <apr.h>

/** Writes a string to stdout, with its quotes, in ASCII alone. A byte that is no UTF-8 is
 * written as if it were Latin-1. */
void ctl_json_text(const char *bytes, apr_size_t len);

#endif /* CTL_JSON_H */
