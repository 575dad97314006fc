/* Times of a request. They are taken on the boot clock, so the wall clock may jump: httpd's own
 * note of when the first line was read is on that one, and counts by its age only, which is never
 * below zero nor more than what the boot clock allows. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

/* How long ago the request's first line was read. */
static apr_interval_time_t times_age(const log_record_t *record, const request_rec *r,
                                     apr_time_t now)
{
    apr_interval_time_t age = apr_time_now() - r->request_time;
    /* HTTP/2 does not tell when it began to read: it does not read for longer than this. */
    apr_interval_time_t most = record->began_at ? now - record->began_at : r->server->timeout;

    return age > most ? most : age < 0 ? 0 : age;
}

apr_interval_time_t log_times_read(const log_record_t *record, const request_rec *r)
{
    return times_age(record, r, record->read_at);
}

static apr_interval_time_t times_not_below(apr_interval_time_t time)
{
    return time < 0 ? 0 : time;
}

void log_times_fill(log_facts_t *facts)
{
    const log_record_t *record = facts->record;
    const usher_attempt_facts_t *last = NULL;
    apr_time_t now = log_now();

    facts->read = facts->queue = facts->connect = facts->send = facts->first_byte = -1;
    if (record->read_at) {
        facts->read = record->read_took;
        facts->total = times_not_below(now - record->read_at) + record->read_took;
    }
    else {
        facts->total = times_age(record, facts->first, now);
    }
    if (facts->balanced) {
        facts->queue = times_not_below(facts->balancer.queued);
    }
    else if (facts->backend_r) {
        facts->queue = 0;
    }
    if (facts->backend_r && facts->backend.attempts_len) {
        last = &facts->backend.attempts[facts->backend.attempts_len - 1];
        facts->connect = last->connect;
        facts->send = last->send;
        facts->first_byte = last->first;
    }
}
