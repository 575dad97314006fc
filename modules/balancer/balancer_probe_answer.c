/* What a check asks, and what it makes of the answer's bytes. */
#include "balancer_probe_private.h"

static const usher_http1_limits_t limits = {
    .line_max = PROBE_BUF_SIZE, .head_max = PROBE_BUF_SIZE, .fields_max = 200,
    .badline = USHER_HTTP1_BADLINE_SKIP,
};

/* The Host of a member: as in its URL, without the scheme's own port. */
static const char *answer_host(const proxy_worker *worker, char text[512])
{
    const char *name = worker->s->hostname_ex;
    apr_port_t own = ap_proxy_port_of_scheme(worker->s->scheme);
    const char *open = strchr(name, ':') ? "[" : "", *close = *open ? "]" : "";

    if (!worker->s->port || worker->s->port == own) {
        apr_snprintf(text, 512, "%s%s%s", open, name, close);
    }
    else {
        apr_snprintf(text, 512, "%s%s%s:%d", open, name, close, (int)worker->s->port);
    }
    return text;
}

int probe_answer_ask(probe_t *probe)
{
    char host[512];
    int len;

    probe->done = 0;
    if (probe->params.kind == USHER_CHECK_CPING) {
        memcpy(probe->buf, usher_ajp_ping, sizeof(usher_ajp_ping));
        probe->len = sizeof(usher_ajp_ping);
        return 1;
    }
    len = apr_snprintf(probe->buf, PROBE_BUF_SIZE,
                       "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Usher-Check/" USHER_VERSION
                       "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                       probe_conf_method(probe->conf), probe->conf->path,
                       probe->conf->host ? probe->conf->host
                                         : answer_host(probe->member->worker, host));
    probe->len = (apr_size_t)len;
    return len < PROBE_BUF_SIZE - 1;
}

static probe_go_e answer_judge(probe_t *probe)
{
    const char *why = NULL;

    if (probe_expect_is_met(probe, &why)) {
        return probe_run_end(probe, USHER_CHECK_PASSED, probe->head.status, NULL);
    }
    return probe_run_end(probe, probe->conf->expression ? USHER_CHECK_UNEXPECTED
                                                        : USHER_CHECK_STATUS,
                         probe->head.status, why);
}

static probe_go_e answer_http(probe_t *probe)
{
    const char *why = NULL;

    for (;;) {
        switch (usher_http1_head(&probe->head, probe->buf, probe->len, &limits, &why)) {
        case USHER_PARSE_BAD:
            return probe_run_end(probe, USHER_CHECK_MALFORMED, 0, why);
        case USHER_PARSE_MORE:
            return probe->len < PROBE_BUF_SIZE
                       ? PROBE_WAIT
                       : probe_run_end(probe, USHER_CHECK_MALFORMED, 0, "its head is too long");
        default:
            break;
        }
        if (probe->head.status < 100 || probe->head.status > 199 || probe->head.status == 101) {
            return answer_judge(probe);
        }
        /* An interim answer: the next one follows. */
        probe->len -= probe->head.len;
        memmove(probe->buf, probe->buf + probe->head.len, probe->len);
        memset(&probe->head, 0, sizeof(probe->head));
    }
}

static probe_go_e answer_ajp(probe_t *probe)
{
    usher_ajp_packet_t packet;
    const char *why = NULL;

    switch (usher_ajp_packet(probe->buf, probe->len, PROBE_BUF_SIZE, &packet, &why)) {
    case USHER_PARSE_BAD:
        return probe_run_end(probe, USHER_CHECK_MALFORMED, 0, why);
    case USHER_PARSE_MORE:
        return PROBE_WAIT;
    default:
        return probe_run_end(probe, packet.type == USHER_AJP_PONG ? USHER_CHECK_PASSED
                                                                  : USHER_CHECK_NO_CPONG,
                             0, NULL);
    }
}

probe_go_e probe_answer_look(probe_t *probe)
{
    return probe->params.kind == USHER_CHECK_CPING ? answer_ajp(probe) : answer_http(probe);
}
