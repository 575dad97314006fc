/* UsherBanExport: what has happened to bans, on its way to the program. Whoever changes a ban
 * leaves its prefix here; what is to be said of it is looked up when the program is told. */
#include "ban_export.h"

#include <unistd.h>

APLOG_USE_MODULE(usher_ban);

/* A turn that was given, but not written: its child was killed. ms */
#define STUCK 5000

static const usher_memory_spec_t export_spec = {
    .name = "ban-export",
    .layout = 1,
    .size = sizeof(ban_export_shm_t),
    .size_min = sizeof(ban_export_shm_t),
    .size_max = (apr_uint64_t)1 << 20,
};

static const char *command; /* NULL: none */
static usher_memory_t *memory;
static ban_export_shm_t *shm;

void ban_export_init(void)
{
    command = NULL;
    memory = NULL;
    shm = NULL;
}

/* Why it cannot be run; NULL: it seems possible. */
static const char *export_check(apr_pool_t *p, const char *text)
{
    char **words;

    if (apr_tokenize_to_argv(text, &words, p) != APR_SUCCESS || !words[0]) {
        return "\"\": takes a program and its arguments";
    }
    if (*words[0] != '/') {
        return apr_psprintf(p, "\"%s\": the program's path must begin with /", text);
    }
    if (access(words[0], X_OK)) {
        return apr_psprintf(p, "\"%s\": %s is no program that can be run; name one, or make it executable",
                            text, words[0]);
    }
    return NULL;
}

const char *ban_export_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *wrong;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument: a program, in quotes with its arguments");
    }
    wrong = export_check(cmd->temp_pool, argv[0]);
    if (wrong) {
        return usher_conf_refuse(cmd, wrong);
    }
    command = argv[0];
    return NULL;
}

void ban_export_check_config(void)
{
    if (command) {
        memory = ban_core->memory_declare(&export_spec);
    }
}

void ban_export_post_config(apr_pool_t *pconf, server_rec *s)
{
    apr_uint64_t size = 0;
    void *base = memory ? ban_core->memory_base(memory, &size) : NULL;

    shm = base && size >= sizeof(ban_export_shm_t) ? base : NULL;
    if (shm) {
        ban_export_program_start(command, pconf, s);
        ban_export_feed_start();
    }
}

ban_export_shm_t *ban_export_shm(void)
{
    return shm;
}

void ban_export_tell(const ban_prefix_t *prefix)
{
    ban_export_slot_t *slot;
    apr_uint64_t turn;

    if (shm) {
        turn = atomic_fetch_add(&shm->head, 1);
        slot = &shm->slots[turn % BAN_EXPORT_RING];
        atomic_store(&slot->turn, 0);
        atomic_store(&slot->high, prefix->address.high);
        atomic_store(&slot->low, prefix->address.low);
        atomic_store(&slot->bits, prefix->bits);
        atomic_store(&slot->turn, turn + 1);
    }
}

/* Whether one that is not there has been awaited for too long. One thread of one child is here. */
static int export_is_stuck(apr_uint64_t tail)
{
    static apr_uint64_t waits_for;
    static apr_int64_t since;

    if (waits_for != tail + 1) {
        waits_for = tail + 1;
        since = ban_now();
    }
    return ban_now() - since > STUCK;
}

int ban_export_peek(ban_prefix_t *prefix)
{
    apr_uint64_t tail = atomic_load(&shm->tail), head = atomic_load(&shm->head);
    ban_export_slot_t *slot = &shm->slots[tail % BAN_EXPORT_RING];

    if (head == tail) {
        return 0;
    }
    if (head - tail > BAN_EXPORT_RING) {
        return -1;
    }
    if (atomic_load(&slot->turn) == tail + 1) {
        prefix->address.high = atomic_load(&slot->high);
        prefix->address.low = atomic_load(&slot->low);
        prefix->bits = (unsigned char)atomic_load(&slot->bits);
        if (atomic_load(&slot->turn) == tail + 1) {
            return 1;
        }
    }
    return export_is_stuck(tail) ? -1 : 0;
}

void ban_export_pop(void)
{
    atomic_fetch_add(&shm->tail, 1);
}

void ban_export_skip(void)
{
    atomic_store(&shm->tail, atomic_load(&shm->head));
}
