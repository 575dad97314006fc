/* UsherMemory, and what `httpd -t` can know of memory: names, bounds, whether
 * the system would give it, and whether the lock's mechanism is a safe one. */
#include <sys/mman.h>
#include <util_mutex.h>

#include "core_private.h"
#include "usher_size.h"

APLOG_USE_MODULE(usher);

/* One UsherMemory line. */
typedef struct {
    const char *name;
    const char *text; /* the size as written */
    apr_uint64_t size;
} conf_line_t;

typedef struct {
    apr_array_header_t *lines; /* of conf_line_t; a later one of a name counts */
} core_conf_t;

/* Set when a line of this reading was refused at a restart: then a piece
 * without a good line has not lost its line, but keeps what it has. */
static int conf_wrong_line;

void core_memory_conf_pre_config(void)
{
    conf_wrong_line = 0;
}

void *core_memory_create_conf(apr_pool_t *p, server_rec *s)
{
    core_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->lines = apr_array_make(p, 2, sizeof(conf_line_t));
    return conf;
}

static const char *conf_refuse(cmd_parms *cmd, const char *reason)
{
    conf_wrong_line = 1;
    return usher_conf_refuse(cmd, reason);
}

/* Takes any number of arguments, and stands in any section: httpd's own refusal
 * of those would end a running site at a restart. */
const char *core_memory_set(cmd_parms *cmd, void *dummy, int argc,
                            char *const argv[])
{
    core_conf_t *conf = ap_get_module_config(cmd->server->module_config, &usher_module);
    conf_line_t line = { NULL };

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 2) {
        return conf_refuse(cmd, "takes two arguments, the name of a piece of "
                                "shared memory and its size");
    }
    line.name = argv[0];
    line.text = argv[1];
    if (usher_size_parse(&line.size, line.text, strlen(line.text)) != APR_SUCCESS || !line.size) {
        return conf_refuse(cmd, apr_psprintf(cmd->pool,
            "%s \"%s\": a size is a number below 2^63 and a unit, K, M, G or T, such "
            "as 64K", line.name, line.text));
    }
    APR_ARRAY_PUSH(conf->lines, conf_line_t) = line;
    return NULL;
}

/* The names there are, for a message. */
static const char *conf_all_names(apr_pool_t *p)
{
    const apr_array_header_t *all = core_memory_all();
    const char *names = NULL;
    int i;

    for (i = 0; i < all->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(all, i, usher_memory_t *)->spec->name;

        names = names ? apr_pstrcat(p, names, ", ", name, NULL) : name;
    }
    return names ? names : "none";
}

/* What is wrong with a line is said; 0: nothing. */
static int conf_is_wrong(const conf_line_t *line, apr_pool_t *ptemp, server_rec *s)
{
    const usher_memory_t *memory = core_memory_find(line->name);
    char min[USHER_SIZE_SIZE], max[USHER_SIZE_SIZE];
    int fixed;

    if (!memory) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1004)
                     "UsherMemory %s %s: no loaded module has a piece of that "
                     "name; there are: %s", line->name, line->text,
                     conf_all_names(ptemp));
        return 1;
    }
    if (line->size < memory->spec->size_min || line->size > memory->spec->size_max) {
        fixed = memory->spec->size_min == memory->spec->size_max;
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1005)
                     "UsherMemory %s %s: the size must be %s%s%s", line->name,
                     line->text, usher_size_format(min, memory->spec->size_min),
                     fixed ? "" : " or more, up to ",
                     fixed ? "" : usher_size_format(max, memory->spec->size_max));
        return 1;
    }
    return 0;
}

/* Gives each piece the size of its line. Where a line is wrong, which goes on
 * at a restart only, pieces without a good one keep the size that they have. */
static void conf_apply(const apr_array_header_t *lines)
{
    const apr_array_header_t *all = core_memory_all();
    int i;

    for (i = 0; i < all->nelts && conf_wrong_line; ++i) {
        APR_ARRAY_IDX(all, i, usher_memory_t *)->wanted = 0;
    }
    for (i = 0; i < lines->nelts; ++i) {
        const conf_line_t *line = &APR_ARRAY_IDX(lines, i, conf_line_t);

        core_memory_find(line->name)->wanted = line->size;
    }
    core_registry_sized();
}

/* Whether the system gives so much shared memory; asked for and given back
 * untouched, which costs nothing. */
static int conf_can_be_had(const usher_memory_t *memory, server_rec *s)
{
    apr_size_t size = (apr_size_t)(memory->wanted + sizeof(core_memory_header_t));
    void *probe = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char text[USHER_SIZE_SIZE];

    if (probe != MAP_FAILED) {
        munmap(probe, size);
        return 1;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, APR_FROM_OS_ERROR(errno), s, USHERLOGNO(1006)
                 "UsherMemory %s %s: the system does not give so much shared "
                 "memory: give a smaller size, or raise the limits of memory",
                 memory->spec->name, usher_size_format(text, memory->wanted));
    return 0;
}

/* Which mechanism the Mutex directive names can only be seen of a mutex. */
static int conf_lock_is_safe(apr_pool_t *ptemp, server_rec *s)
{
    apr_global_mutex_t *probe = NULL;
    apr_pool_t *pool;
    apr_status_t rv;
    int safe = 1;

    apr_pool_create(&pool, ptemp);
    rv = ap_global_mutex_create(&probe, NULL, CORE_MUTEX_TYPE, "configtest", s, pool, 0);
    if (rv != APR_SUCCESS) {
        /* A folder for root only, say, at a configtest of somebody else. */
        ap_log_error(APLOG_MARK, APLOG_NOTICE, rv, s, USHERLOGNO(1009)
                     "the lock of the type \"" CORE_MUTEX_TYPE "\" cannot be made "
                     "here and now: whether it can is seen when httpd starts");
    }
    else if (apr_global_mutex_mech(probe) == APR_LOCK_POSIXSEM) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1007)
                     "Mutex posixsem: when a child is killed that holds such a "
                     "lock, all others wait for ever; add \"Mutex pthread "
                     CORE_MUTEX_TYPE "\"");
        safe = 0;
    }
    apr_pool_destroy(pool);
    return safe;
}

int core_memory_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                             apr_pool_t *ptemp, server_rec *s)
{
    const core_conf_t *conf = ap_get_module_config(s->module_config, &usher_module);
    const apr_array_header_t *all = core_memory_all();
    apr_array_header_t *good = apr_array_make(ptemp, 8, sizeof(conf_line_t));
    int refused;
    int i;

    for (i = 0; i < conf->lines->nelts; ++i) {
        const conf_line_t *line = &APR_ARRAY_IDX(conf->lines, i, conf_line_t);

        if (conf_is_wrong(line, ptemp, s)) {
            conf_wrong_line = 1;
        }
        else {
            APR_ARRAY_PUSH(good, conf_line_t) = *line;
        }
    }
    conf_apply(good);
    refused = conf_wrong_line;
    if (!conf_lock_is_safe(ptemp, s)) {
        refused = 1;
    }
    /* At a restart it is asked for in earnest, and only where it changes. */
    for (i = 0; i < all->nelts && usher_conf_may_refuse(); ++i) {
        if (!conf_can_be_had(APR_ARRAY_IDX(all, i, usher_memory_t *), s)) {
            refused = 1;
        }
    }
    return refused && usher_conf_may_refuse() ? !OK : OK;
}
