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
} line_t;

typedef struct {
    apr_array_header_t *lines; /* of line_t; a later one of a name counts */
} core_conf_t;

void *core_memory_create_conf(apr_pool_t *p, server_rec *s)
{
    core_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->lines = apr_array_make(p, 2, sizeof(line_t));
    return conf;
}

const char *core_memory_set(cmd_parms *cmd, void *dummy, const char *name,
                            const char *size)
{
    core_conf_t *conf = ap_get_module_config(cmd->server->module_config, &usher_module);
    const char *error = NULL;
    line_t line = { name, size, 0 };

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (usher_size_parse(&line.size, size, strlen(size)) != APR_SUCCESS || !line.size) {
        error = usher_conf_refuse(cmd, apr_psprintf(cmd->pool,
            "%s \"%s\": a size is a number and a unit, K, M or G, such as 64K",
            name, size));
        line.size = 0; /* at a restart: what it has now */
    }
    APR_ARRAY_PUSH(conf->lines, line_t) = line;
    return error;
}

/* The names there are, for a message. */
static const char *all_names(apr_pool_t *p)
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

static usher_memory_t *find_piece(const char *name)
{
    const apr_array_header_t *all = core_memory_all();
    int i;

    for (i = 0; i < all->nelts; ++i) {
        usher_memory_t *memory = APR_ARRAY_IDX(all, i, usher_memory_t *);

        if (!strcmp(memory->spec->name, name)) {
            return memory;
        }
    }
    return NULL;
}

/* Takes a line over into its piece; 0: the line is wrong, and it is said. */
static int apply_line(const line_t *line, apr_pool_t *ptemp, server_rec *s)
{
    usher_memory_t *memory = find_piece(line->name);
    char min[USHER_SIZE_SIZE], max[USHER_SIZE_SIZE];

    if (!memory) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1004)
                     "UsherMemory %s %s: no loaded module has a piece of that "
                     "name; there are: %s", line->name, line->text, all_names(ptemp));
        return 0;
    }
    if (line->size && (line->size < memory->spec->size_min || line->size > memory->spec->size_max)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1005)
                     "UsherMemory %s %s: the size must be from %s to %s", line->name,
                     line->text, usher_size_format(min, memory->spec->size_min),
                     usher_size_format(max, memory->spec->size_max));
        memory->size = 0;
        return 0;
    }
    memory->size = line->size;
    return 1;
}

/* Whether the system gives so much shared memory; asked for and given back
 * untouched, which costs nothing. */
static int can_be_had(const usher_memory_t *memory, server_rec *s)
{
    apr_size_t size = (apr_size_t)(memory->size + sizeof(core_memory_header_t));
    void *probe = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char text[USHER_SIZE_SIZE];

    if (probe != MAP_FAILED) {
        munmap(probe, size);
        return 1;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, APR_FROM_OS_ERROR(errno), s, USHERLOGNO(1006)
                 "UsherMemory %s %s: the system does not give so much shared "
                 "memory: give a smaller size, or raise the limits of memory",
                 memory->spec->name, usher_size_format(text, memory->size));
    return 0;
}

/* Which mechanism the Mutex directive names can only be seen of a mutex. */
static int lock_is_safe(apr_pool_t *ptemp, server_rec *s)
{
    apr_global_mutex_t *probe = NULL;
    apr_pool_t *pool;
    int safe = 1;

    apr_pool_create(&pool, ptemp);
    /* One that cannot be made here (a lock folder for root only, say) is
     * judged when httpd starts. */
    if (ap_global_mutex_create(&probe, NULL, CORE_MUTEX_TYPE, "configtest", s, pool, 0)
            == APR_SUCCESS
        && apr_global_mutex_mech(probe) == APR_LOCK_POSIXSEM) {
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
    int good = 1;
    int i;

    for (i = 0; i < conf->lines->nelts; ++i) {
        good &= apply_line(&APR_ARRAY_IDX(conf->lines, i, line_t), ptemp, s);
    }
    if (!usher_conf_may_refuse()) {
        return OK;
    }
    for (i = 0; i < all->nelts && good; ++i) {
        good &= can_be_had(APR_ARRAY_IDX(all, i, usher_memory_t *), s);
    }
    if (good && all->nelts) {
        good = lock_is_safe(ptemp, s);
    }
    return good ? OK : !OK;
}
