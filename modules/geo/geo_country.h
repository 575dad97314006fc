/**
 * @file  geo_country.h
 * @brief Codes of countries, as databases have them. Needs no httpd.
 */
#ifndef GEO_COUNTRY_H
#define GEO_COUNTRY_H

/**
 * Whether a code may be a country's: of ISO 3166-1, or one that ISO leaves to everybody (XK is Kosovo's).
 * @param code  two capital letters
 */
int geo_country_is_one(const char code[2]);

/** What to write in place of a code that is none, in words. */
const char *geo_country_remedy(const char code[2]);

#endif /* GEO_COUNTRY_H */
