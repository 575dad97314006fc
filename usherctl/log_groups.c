/* What is counted: in all, and for each member (or what else it is divided by). */
#include <apr_general.h>
#include <string.h>

#include "log.h"
#include "usher_siphash.h"

log_groups_t *log_groups_make(apr_pool_t *p, log_by_e by)
{
    log_groups_t *groups = apr_pcalloc(p, sizeof(*groups));

    groups->pool = p;
    groups->by = by;
    groups->all = apr_array_make(p, 64, sizeof(log_group_t *));
    groups->others.name = "others";
    groups->others.name_len = strlen("others");
    groups->first_at = APR_INT64_MAX;
    groups->last_at = APR_INT64_MIN;
    /* Without it a log could be made whose names all have one hash: slow, no more. */
    (void)apr_generate_random_bytes(groups->key, sizeof(groups->key));
    return groups;
}

apr_size_t log_member_name(char *to, apr_size_t room, const log_line_t *line)
{
    apr_size_t len;

    if (!line->cluster.len && !line->member.len) {
        *to = '-';
        return 1;
    }
    if (!line->cluster.len) {
        return log_line_text(to, room, line->kind, &line->member);
    }
    len = log_line_text(to, room - 2, line->kind, &line->cluster);
    to[len++] = '/';
    if (!line->member.len) {
        to[len++] = '-';
        return len;
    }
    return len + log_line_text(to + len, room - len, line->kind, &line->member);
}

static apr_size_t groups_text(char *to, const log_line_t *line, const log_text_t *text)
{
    if (!text->len) {
        *to = '-';
        return 1;
    }
    return log_line_text(to, LOG_NAME_MAX, line->kind, text);
}

static apr_size_t groups_name(char *to, log_by_e by, const log_line_t *line)
{
    log_text_t path;

    switch (by) {
    case LOG_BY_CLUSTER:
        return groups_text(to, line, &line->cluster);
    case LOG_BY_VHOST:
        return groups_text(to, line, &line->vhost);
    case LOG_BY_STATE:
        memcpy(to, line->state, LOG_STATE_SIZE);
        return LOG_STATE_SIZE;
    case LOG_BY_STATUS:
        to[0] = (char)(line->status ? '0' + line->status / 100 : '-');
        to[1] = (char)('0' + line->status / 10 % 10);
        to[2] = (char)('0' + line->status % 10);
        return line->status ? 3 : 1;
    case LOG_BY_PATH:
        path = log_line_path(line);
        return groups_text(to, line, &path);
    default:
        return log_member_name(to, LOG_NAME_MAX, line);
    }
}

static log_group_t *groups_find(log_groups_t *groups, const char *name, apr_size_t len)
{
    usher_siphash_t hash = usher_siphash(groups->key, name, len);
    log_group_t **bucket = &groups->buckets[hash.word[0] % LOG_BUCKETS];
    log_group_t *group = *bucket;

    while (group && (group->name_len != len || memcmp(group->name, name, len))) {
        group = group->next;
    }
    if (group || groups->all->nelts >= LOG_GROUPS_MAX) {
        return group ? group : &groups->others;
    }
    group = apr_pcalloc(groups->pool, sizeof(*group));
    group->name = apr_pmemdup(groups->pool, name, len);
    group->name_len = len;
    group->next = *bucket;
    *bucket = group;
    APR_ARRAY_PUSH(groups->all, log_group_t *) = group;
    return group;
}

static void group_end(log_group_t *group, char who, char phase, apr_uint64_t count)
{
    log_end_t *end = group->ends, *last = end + group->ends_len;

    while (end < last && (end->who != who || end->phase != phase)) {
        ++end;
    }
    if (end == group->ends + LOG_ENDS_MAX) {
        group->ends_others += count;
        return;
    }
    if (end == last) {
        ++group->ends_len;
        end->who = who;
        end->phase = phase;
    }
    end->count += count;
}

static void group_add(log_group_t *group, apr_pool_t *p, const log_line_t *line)
{
    char who = line->state[0];
    int i;

    ++group->requests;
    ++group->classes[line->status / 100];
    group->by_client += who == 'C' || who == 'c';
    group->by_server += who == 'S' || who == 's';
    group->retries += line->tries > 1 ? (apr_uint64_t)line->tries - 1 : 0;
    group->bytes_in += line->bytes_in > 0 ? (apr_uint64_t)line->bytes_in : 0;
    group->bytes_out += line->bytes_out > 0 ? (apr_uint64_t)line->bytes_out : 0;
    group_end(group, who, line->state[1], 1);
    for (i = 0; i < LOG_TIMES; ++i) {
        if (line->times[i] >= 0) {
            log_histogram_add(&group->times[i], p, line->times[i]);
        }
    }
}

void log_groups_add(log_groups_t *groups, const log_line_t *line, apr_int64_t at)
{
    char name[LOG_NAME_MAX];
    apr_size_t len = groups_name(name, groups->by, line);

    group_add(groups_find(groups, name, len), groups->pool, line);
    ++groups->statuses[line->status];
    groups->first_at = at < groups->first_at ? at : groups->first_at;
    groups->last_at = at > groups->last_at ? at : groups->last_at;
}

static void group_merge(log_group_t *into, apr_pool_t *p, const log_group_t *from)
{
    int i;

    into->requests += from->requests;
    for (i = 0; i < 10; ++i) {
        into->classes[i] += from->classes[i];
    }
    into->by_client += from->by_client;
    into->by_server += from->by_server;
    into->retries += from->retries;
    into->bytes_in += from->bytes_in;
    into->bytes_out += from->bytes_out;
    for (i = 0; i < from->ends_len; ++i) {
        group_end(into, from->ends[i].who, from->ends[i].phase, from->ends[i].count);
    }
    into->ends_others += from->ends_others;
    for (i = 0; i < LOG_TIMES; ++i) {
        log_histogram_merge(&into->times[i], p, &from->times[i]);
    }
}

const log_group_t *log_groups_total(const log_groups_t *groups)
{
    log_group_t *total = apr_pcalloc(groups->pool, sizeof(*total));
    int i;

    for (i = 0; i < groups->all->nelts; ++i) {
        group_merge(total, groups->pool, APR_ARRAY_IDX(groups->all, i, log_group_t *));
    }
    group_merge(total, groups->pool, &groups->others);
    log_group_sort_ends(total);
    return total;
}
