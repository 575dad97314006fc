#include "usher_admin.h"

#include <string.h>

#define WORDS (USHER_ADMIN_WHO_SIZE / 8)

static apr_uint32_t admin_word(usher_admin_setting_t setting)
{
    return (apr_uint32_t)setting.state | (apr_uint32_t)(setting.weight + 1) << 8;
}

/* Two who change it at once may leave a name of both; the log has each. */
static void admin_sign(usher_admin_t *admin, apr_int64_t now, const char *who)
{
    apr_uint64_t words[WORDS] = { 0 };
    apr_size_t len = strlen(who);
    int i;

    memcpy(words, who, len < sizeof(words) - 1 ? len : sizeof(words) - 1);
    for (i = 0; i < WORDS; ++i) {
        atomic_store(&admin->who[i], words[i]);
    }
    atomic_store(&admin->changed_at, now);
}

int usher_admin_change(usher_admin_t *admin, usher_admin_setting_t from,
                       usher_admin_setting_t to, apr_int64_t now, const char *who)
{
    apr_uint32_t word = atomic_load(&admin->word);
    usher_admin_setting_t is = usher_admin_of(word);

    if (is.state != from.state || is.weight != from.weight
        || !atomic_compare_exchange_strong(&admin->word, &word, admin_word(to))) {
        return 0;
    }
    admin_sign(admin, now, who);
    return 1;
}

char *usher_admin_who(const usher_admin_t *admin, char text[USHER_ADMIN_WHO_SIZE])
{
    apr_uint64_t words[WORDS];
    int i;

    for (i = 0; i < WORDS; ++i) {
        words[i] = atomic_load(&admin->who[i]);
    }
    memcpy(text, words, USHER_ADMIN_WHO_SIZE);
    text[USHER_ADMIN_WHO_SIZE - 1] = '\0';
    return text;
}
