/* A line of the log for each change: who, from where, what, from what to what. Nothing that
 * others wrote gets into it as it is. */
#include "register_member.h"
#include "usher_duration.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_register);

const char *register_audit_text(apr_pool_t *p, const char *text)
{
    apr_size_t len = strlen(text);
    char *shown = apr_palloc(p, USHER_TEXT_SHOWN_SIZE(len));

    usher_text_show(shown, text, len);
    return shown;
}

const char *register_audit_time(apr_pool_t *p, apr_int64_t ms)
{
    char *text = apr_palloc(p, USHER_DURATION_SIZE);

    return usher_duration_format(text, ms > 0 ? ms * 1000 : 0);
}

const char *register_audit_member(apr_pool_t *p, const usher_roster_entry_t *entry)
{
    const char *secret = !*entry->secret ? ""
        : strncmp(entry->secret, "name:", 5) ? " with a secret"
        : apr_pstrcat(p, " secret_name ", entry->secret + 5, NULL);

    return register_audit_text(p, apr_psprintf(p, "%s weight %u lease %s%s%s%s%s%s%s", entry->url,
        entry->weight, register_audit_time(p, entry->lease), *entry->check ? " check " : "",
        entry->check, *entry->labels ? " labels " : "", entry->labels, secret,
        entry->drain_until ? " draining" : ""));
}

void register_audit(const register_call_t *call, const char *what, const char *more)
{
    request_rec *r = call->r;

    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, USHERLOGNO(6010)
                  "usher-register: %s/%s %s by %s from %s%s%s", call->canonical, call->route, what,
                  register_audit_text(r->pool, call->who.name), r->useragent_ip,
                  *more ? ": " : "", more);
}
