/**
 * @file  ban_record.h
 * @brief A ban as the store has it: a line of text, under the prefix as its key.
 *
 * "by=rule name=wp times=2 events=7 since=7200000 until=3600000 left=3600000000us utc=... up=...
 * boot=... why=GET /wp-login.php 404": when it is forgotten is a usher_expiry_t, and so many
 * milliseconds before that it began and ends. "until=never": there what is left counts for the
 * begin alone.
 */
#ifndef BAN_RECORD_H
#define BAN_RECORD_H

#include "ban_private.h"
#include "usher_clock.h"

/**
 * Write a ban.
 * @return 1; 0: none that could be read again, which a child may have put into shared memory, or
 *         a trial: that is nobody else's business
 */
int ban_record_write(char value[BAN_RECORD_SIZE], const ban_t *ban, const usher_clock_t *clock);

/**
 * Read what ban_record_write() wrote, perhaps on another node, in an earlier boot or by somebody
 * else. It has no version, and is never a trial.
 * @return 1; 0: it is none, and @a ban is not to be used
 */
int ban_record_read(ban_t *ban, const char *key, const char *value, const usher_clock_t *clock);

#endif /* BAN_RECORD_H */
