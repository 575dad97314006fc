/**
 * @file  usher_geo.h
 * @brief What mod_usher_geo tells others of an address. Any of them may be missing: retrieve
 *        them in check_config or later.
 */
#ifndef USHER_GEO_H
#define USHER_GEO_H

#include <apr_optional.h>
#include <httpd.h>

#include "usher_cidr.h"

/** A question to the databases: "country JP KR", "asn 64500", "continent EU", "geo DB/path value". In pconf. */
typedef struct usher_geo_question_t usher_geo_question_t;

/**
 * Understand a question; while directives are read or in check_config. What is doubtful in it is logged.
 * @param from  the line that asks, for what is logged: "UsherBanGeo country KP"
 * @param what  "country", "asn", "continent", "geo"
 * @param argc  values, as after Require usher-country
 * @return NULL; else why it is none, with the remedy
 */
APR_DECLARE_OPTIONAL_FN(const char *, usher_geo_question,
                        (apr_pool_t *pconf, const char *from, const char *what, int argc, const char *const *argv,
                         const usher_geo_question_t **question));

/**
 * Ask it. Any thread of a child; a lookup, some microseconds at most.
 * @return 1: it is so; 0: it is not; -1: not known (no database knows the address, and there is none that can be
 *         asked, or one that cannot)
 */
APR_DECLARE_OPTIONAL_FN(int, usher_geo_ask,
                        (const usher_geo_question_t *question, usher_cidr_address_t address));

/** For people: "JP, AS64500 Example Net"; "" where nothing is known. */
APR_DECLARE_OPTIONAL_FN(const char *, usher_geo_tell, (usher_cidr_address_t address, apr_pool_t *p));

#endif /* USHER_GEO_H */
