/* The module's directives. All are settings of a place (server, vhost,
 * Location, Proxy section), so that one application at a time can differ. */
#include "backend_private.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_backend);

#define MS APR_TIME_C(1000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define K APR_INT64_C(1024)

void *backend_conf_create(apr_pool_t *p, char *dir)
{
    static const backend_conf_t unset = {
        USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET,
        USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET,
        USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET, USHER_UNSET,
        USHER_UNSET, USHER_UNSET, USHER_UNSET,
    };

    return apr_pmemdup(p, &unset, sizeof(unset));
}

void *backend_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const backend_conf_t *base = basev, *add = addv;
    backend_conf_t *conf = apr_palloc(p, sizeof(*conf));

#define MERGE(field) conf->field = USHER_MERGE(field, base, add)
    MERGE(on);
    MERGE(connect_max);
    MERGE(send_max);
    MERGE(first_max);
    MERGE(between_max);
    MERGE(total_max);
    MERGE(head_max);
    MERGE(fields_max);
    MERGE(replay);
    MERGE(client_fin);
    MERGE(hold_memory);
    MERGE(hold_file);
    MERGE(budget_percent);
    MERGE(budget_within);
    MERGE(budget_least);
    MERGE(rest);
    MERGE(rest_failures);
    MERGE(rest_within);
    MERGE(rest_time);
    MERGE(rest_slowstart);
    MERGE(rest_share);
#undef MERGE
    return conf;
}

int backend_conf_is_on(request_rec *r)
{
    const backend_conf_t *conf =
        ap_get_module_config(r->per_dir_config, &usher_backend_module);

    return conf->on != 0;
}

/* The times stay unset where a worker's key may tell them: backend_exchange.c
 * knows the worker. */
const backend_conf_t *backend_conf_of(request_rec *r)
{
    static const backend_conf_t defaults = {
        .on = 1,
        .connect_max = USHER_UNSET, .send_max = USHER_UNSET, .first_max = USHER_UNSET,
        .between_max = USHER_UNSET, .total_max = 0,
        .head_max = 64 * K, .fields_max = 200,
        .replay = BACKEND_REPLAY_IDEMPOTENT, .client_fin = BACKEND_FIN_AUTO,
        .hold_memory = 64 * K, .hold_file = K * K,
        .budget_percent = 20, .budget_within = 10 * SECOND, .budget_least = 3,
        .rest = 1, .rest_failures = 3, .rest_within = 10 * SECOND, .rest_time = 10 * SECOND,
        .rest_slowstart = 10 * SECOND, .rest_share = 50,
    };

    return backend_conf_merge(r->pool, (void *)&defaults,
                              ap_get_module_config(r->per_dir_config, &usher_backend_module));
}

void backend_conf_picker(const backend_conf_t *conf, usher_picker_t *picker)
{
    picker->rest.failures = conf->rest ? (apr_uint32_t)conf->rest_failures : 0;
    picker->rest.within = (apr_uint32_t)apr_time_as_msec(conf->rest_within);
    picker->rest.rest = (apr_uint32_t)apr_time_as_msec(conf->rest_time);
    picker->rest.slowstart = (apr_uint32_t)apr_time_as_msec(conf->rest_slowstart);
    picker->rest.share = (apr_uint32_t)conf->rest_share;
    picker->budget.percent = (unsigned int)conf->budget_percent;
    picker->budget.window = (unsigned int)apr_time_sec(conf->budget_within);
    picker->budget.least = (unsigned int)conf->budget_least;
}

/* Directives that take key=value */

#define FIELD(f) APR_OFFSETOF(backend_conf_t, f)

static const usher_option_t timeout_keys[] = {
    { "connect", USHER_OPTION_DURATION, 0, MS, DAY, "1ms to 1d", FIELD(connect_max) },
    { "send", USHER_OPTION_DURATION, 0, MS, DAY, "1ms to 1d", FIELD(send_max) },
    { "first", USHER_OPTION_DURATION, 0, MS, DAY, "1ms to 1d", FIELD(first_max) },
    { "between", USHER_OPTION_DURATION, 0, MS, DAY, "1ms to 1d", FIELD(between_max) },
    { "total", USHER_OPTION_DURATION, 1, MS, DAY, "1ms to 1d, or off", FIELD(total_max) },
    { NULL }
};
static const usher_option_t answer_keys[] = {
    { "head", USHER_OPTION_SIZE, 0, K, 16 * K * K, "1K to 16M", FIELD(head_max) },
    { "fields", USHER_OPTION_NUMBER, 0, 1, 10000, "1 to 10000", FIELD(fields_max) },
    { NULL }
};
static const usher_option_t buffer_keys[] = {
    { "memory", USHER_OPTION_SIZE, 0, 0, 64 * K * K, "0 to 64M", FIELD(hold_memory) },
    { "file", USHER_OPTION_SIZE, 0, 0, K * K * K * K, "0 to 1T", FIELD(hold_file) },
    { NULL }
};
static const usher_option_t budget_keys[] = {
    { "percent", USHER_OPTION_NUMBER, 0, 0, 100, "0 to 100", FIELD(budget_percent) },
    { "within", USHER_OPTION_DURATION, 0, SECOND, 60 * SECOND, "1s to 60s", FIELD(budget_within) },
    { "least", USHER_OPTION_NUMBER, 0, 0, 1000, "0 to 1000", FIELD(budget_least) },
    { NULL }
};
static const usher_option_t rest_keys[] = {
    { "failures", USHER_OPTION_NUMBER, 0, 1, 1000, "1 to 1000", FIELD(rest_failures) },
    { "within", USHER_OPTION_DURATION, 0, SECOND, HOUR, "1s to 1h", FIELD(rest_within) },
    { "rest", USHER_OPTION_DURATION, 0, 100 * MS, HOUR, "100ms to 1h", FIELD(rest_time) },
    { "slowstart", USHER_OPTION_DURATION, 0, 0, HOUR, "0 to 1h", FIELD(rest_slowstart) },
    { "share", USHER_OPTION_NUMBER, 0, 1, 100, "1 to 100", FIELD(rest_share) },
    { NULL }
};

/* All of a line or nothing of it. cmd->info is the directive's keys. */
static const char *conf_set_keys(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *reason = usher_options_set(cmd->pool, dir, sizeof(backend_conf_t), cmd->info, argc,
                                           argv);

    return reason ? usher_conf_refuse(cmd, reason) : NULL;
}

static const char *conf_set_rest(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    backend_conf_t *conf = dir;
    const char *refusal;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        conf->rest = 0;
        return NULL;
    }
    refusal = conf_set_keys(cmd, dir, argc, argv);
    if (!refusal) {
        conf->rest = 1;
    }
    return refusal;
}

/* Directives that take one word */

typedef struct {
    apr_size_t field; /* an int */
    const char *words[4];
} conf_words_t;

static const conf_words_t on_words = { FIELD(on), { "Off", "On" } };
static const conf_words_t replay_words = { FIELD(replay), { "off", "safe", "idempotent" } };
static const conf_words_t fin_words = { FIELD(client_fin), { "gone", "halfclose", "auto" } };

/* cmd->info is the directive's words, whose index is the value. */
static const char *conf_set_word(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const conf_words_t *words = cmd->info;
    const char *all = words->words[0];
    int i;

    for (i = 0; words->words[i]; ++i) {
        if (argc == 1 && !ap_cstr_casecmp(argv[0], words->words[i])) {
            *(int *)((char *)dir + words->field) = i;
            return NULL;
        }
        if (i) {
            all = apr_pstrcat(cmd->pool, all, words->words[i + 1] ? ", " : " or ",
                              words->words[i], NULL);
        }
    }
    return usher_conf_refuse(cmd, argc == 1
        ? apr_psprintf(cmd->pool, "\"%s\": takes %s", argv[0], all)
        : apr_psprintf(cmd->pool, "takes one argument, %s", all));
}

const command_rec backend_conf_cmds[] = {
    AP_INIT_TAKE_ARGV("UsherBackend", conf_set_word, (void *)&on_words, RSRC_CONF | ACCESS_CONF,
        "whether Usher carries requests to HTTP backends here: On (default) or Off"),
    AP_INIT_TAKE_ARGV("UsherBackendAnswer", conf_set_keys, (void *)answer_keys, RSRC_CONF | ACCESS_CONF,
        "how large the head of an answer may be: head=size fields=number"),
    AP_INIT_TAKE_ARGV("UsherBackendRest", conf_set_rest, (void *)rest_keys, RSRC_CONF | ACCESS_CONF,
        "when a member gets no requests for a while: Off, or failures=number "
        "within=time rest=time slowstart=time share=percent"),
    AP_INIT_TAKE_ARGV("UsherBackendTimeout", conf_set_keys, (void *)timeout_keys, RSRC_CONF | ACCESS_CONF,
        "how long each phase may take: connect=time send=time first=time "
        "between=time total=time"),
    AP_INIT_TAKE_ARGV("UsherClientFin", conf_set_word, (void *)&fin_words, RSRC_CONF | ACCESS_CONF,
        "what it means when a client ends its sending side: gone, halfclose or auto"),
    AP_INIT_TAKE_ARGV("UsherReplay", conf_set_word, (void *)&replay_words, RSRC_CONF | ACCESS_CONF,
        "which requests may be sent a second time after a cut: off, safe or idempotent"),
    AP_INIT_TAKE_ARGV("UsherReplayBudget", conf_set_keys, (void *)budget_keys, RSRC_CONF | ACCESS_CONF,
        "how many requests may be sent a second time: percent=number within=time "
        "least=number"),
    AP_INIT_TAKE_ARGV("UsherReplayBuffer", conf_set_keys, (void *)buffer_keys, RSRC_CONF | ACCESS_CONF,
        "how much of a request's body is held for a replay: memory=size file=size"),
    { NULL }
};
