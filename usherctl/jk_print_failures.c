/* What mod_jk says of failures, as UsherReplay and UsherBackendRest. */
#include "jk.h"

/* Bits of recovery_options */
#define JK_NOT_AFTER_SENDING 1
#define JK_ALWAYS_HEAD       8
#define JK_ALWAYS_GET        16

/* How much may be sent again, the least first */
typedef enum { JK_REPLAY_OFF, JK_REPLAY_SAFE, JK_REPLAY_ALL } jk_replay_e;

static jk_replay_e failures_replay(const jk_workers_t *workers, const jk_worker_t *worker)
{
    int options = jk_number(workers, worker, "recovery_options", 0);

    if (!(options & JK_NOT_AFTER_SENDING)) {
        return JK_REPLAY_ALL;
    }
    return options & JK_ALWAYS_GET ? JK_REPLAY_SAFE : JK_REPLAY_OFF;
}

static void failures_print_replay(ctl_conf_t *conf, const jk_workers_t *workers,
                                  const jk_worker_t *worker)
{
    jk_replay_e least = JK_REPLAY_ALL;
    int i, given = 0, differ = 0;

    for (i = 0; i < (worker->members ? worker->members->nelts : 1); ++i) {
        const jk_worker_t *one
            = worker->members ? APR_ARRAY_IDX(worker->members, i, jk_worker_t *) : worker;
        jk_replay_e replay = failures_replay(workers, one);

        given |= jk_value(workers, one, "recovery_options") != NULL;
        differ |= i > 0 && replay != least;
        least = replay < least ? replay : least;
    }
    if (differ) {
        jk_remark(conf, workers->notes, &worker->at,
                  "the recovery_options of the members differ: the most careful holds for all");
    }
    if (least != JK_REPLAY_ALL) {
        ctl_conf_line(conf, "UsherReplay %s", least == JK_REPLAY_SAFE ? "safe" : "off");
    }
    else if (given) {
        ctl_conf_comment(conf, "recovery_options: a POST is never sent twice, whatever they say.");
    }
}

/* A member rested after one late answer, or after more than so many in about
 * a minute, for recover_time. */
static void failures_print_rest(ctl_conf_t *conf, const jk_workers_t *workers,
                                const jk_worker_t *worker)
{
    int rest = jk_number(workers, worker, "recover_time", 0);
    int late = jk_number(workers, worker, "max_reply_timeouts", 0);
    int within = 60;
    const jk_property_t *maintain = jk_properties_get(workers->props, "worker.maintain");
    const char *words = "";

    if (maintain) {
        within = (int)apr_atoi64(maintain->value);
        within = within < 1 ? 1 : within > 3600 ? 3600 : within;
    }
    if (late) {
        late = late >= 1000 ? 1000 : late + 1;
        words = apr_psprintf(conf->pool, " failures=%d within=%ds", late, within);
    }
    if (rest) {
        words = apr_psprintf(conf->pool, "%s rest=%ds", words, rest > 3600 ? 3600 : rest);
    }
    if (*words) {
        ctl_conf_line(conf, "UsherBackendRest%s", words);
    }
}

void jk_print_failures(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker)
{
    failures_print_replay(conf, workers, worker);
    if (worker->type == JK_LB) {
        failures_print_rest(conf, workers, worker);
    }
}
