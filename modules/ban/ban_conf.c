/* Directives that take one word; the settings that hold for paths, too. */
#include "ban_private.h"

static int spares_undeclared;

void ban_conf_init(apr_pool_t *pconf)
{
    spares_undeclared = 1;
}

int ban_conf_spares_undeclared(void)
{
    return spares_undeclared;
}

void *ban_dir_create(apr_pool_t *p, char *path)
{
    static const ban_dir_t unset = { USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, NULL, NULL };

    return apr_pmemdup(p, &unset, sizeof(unset));
}

/* For sections also while a request runs: rules are copied only where both have some. */
void *ban_dir_merge(apr_pool_t *p, void *basev, void *addv)
{
    const ban_dir_t *base = basev, *add = addv;
    ban_dir_t *dir = apr_palloc(p, sizeof(*dir));

    dir->on = USHER_MERGE(on, base, add);
    dir->enforce = USHER_MERGE(enforce, base, add);
    dir->refuse = USHER_MERGE(refuse, base, add);
    dir->answer = USHER_MERGE(answer, base, add);
    dir->exempt = add->exempt ? add->exempt : base->exempt;
    dir->rules = !base->rules ? add->rules
               : !add->rules  ? base->rules
                              : apr_array_append(p, base->rules, add->rules);
    return dir;
}

const ban_dir_t *ban_dir_of(const ap_conf_vector_t *conf)
{
    return ap_get_module_config(conf, &usher_ban_module);
}

const ban_dir_t *ban_dir_of_server(const server_rec *s)
{
    return ban_dir_of(s->lookup_defaults);
}

/* One of some words. @return which; -1: none, and *refused is what to return */
static int conf_word(cmd_parms *cmd, int argc, char *const argv[], const char *const words[], const char **refused)
{
    const char *all = words[0];
    int i;

    for (i = 0; words[i]; ++i) {
        if (argc == 1 && !ap_cstr_casecmp(argv[0], words[i])) {
            return i;
        }
        if (i) {
            all = apr_pstrcat(cmd->temp_pool, all, words[i + 1] ? ", " : " or ", words[i], NULL);
        }
    }
    *refused = usher_conf_refuse(cmd, argc == 1
        ? apr_psprintf(cmd->pool, "\"%s\": takes %s", argv[0], all)
        : apr_psprintf(cmd->pool, "takes one argument, %s", all));
    return -1;
}

const char *ban_conf_set_on(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const char *const words[] = { "Off", "On", NULL };
    const char *refused = NULL;
    int word = conf_word(cmd, argc, argv, words, &refused);

    if (word >= 0) {
        ((ban_dir_t *)dir)->on = word;
    }
    return refused;
}

const char *ban_conf_set_mode(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const char *const words[] = { "log", "enforce", NULL };
    const char *refused = NULL;
    int word = conf_word(cmd, argc, argv, words, &refused);

    if (word >= 0) {
        ((ban_dir_t *)dir)->enforce = word;
    }
    return refused;
}

const char *ban_conf_set_refuse(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const char *const words[] = { "close", "reset", NULL };
    const char *refused = NULL;
    int word = conf_word(cmd, argc, argv, words, &refused);

    if (word >= 0) {
        ((ban_dir_t *)dir)->refuse = word;
    }
    return refused;
}

const char *ban_conf_set_answer(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const char *const words[] = { "403", "429", "close", NULL };
    const char *refused = NULL;
    int word = conf_word(cmd, argc, argv, words, &refused);

    if (word >= 0) {
        ((ban_dir_t *)dir)->answer = word;
    }
    return refused;
}

const char *ban_conf_set_undeclared(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    static const char *const words[] = { "ban", "spare", NULL };
    const char *refused = NULL;
    int word;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    word = conf_word(cmd, argc, argv, words, &refused);
    if (word >= 0) {
        spares_undeclared = word;
    }
    return refused;
}
