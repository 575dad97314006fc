/**
 * @file  register_record.h
 * @brief A member as the store has it: a JSON object, under the key "cluster/route".
 */
#ifndef REGISTER_RECORD_H
#define REGISTER_RECORD_H

#include "usher_clock.h"
#include "usher_roster.h"
#include "usher_store.h"

/** The key of a member. */
char *register_record_key(char key[USHER_STORE_KEY_MAX + 1], const char *cluster,
                          const char *route);

/**
 * Read a key. @param entry  gets cluster, route and id
 * @return 1; 0: it is none
 */
int register_record_read_key(usher_roster_entry_t *entry, const char *key);

/**
 * Write a member.
 * @return 1; 0: it does not fit, or has what no text may have
 */
int register_record_write(char value[USHER_STORE_VALUE_MAX + 1], const usher_roster_entry_t *entry,
                          const usher_clock_t *clock);

/**
 * Read what register_record_write() wrote, perhaps on another node, in an earlier boot or by
 * somebody else. Its lease is a whole one; it has no version.
 * @return 1; 0: it is none, and @a entry is not to be used
 */
int register_record_read(usher_roster_entry_t *entry, const char *key, const char *value,
                         const usher_clock_t *clock);

#endif /* REGISTER_RECORD_H */
