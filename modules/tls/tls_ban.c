/* Tells mod_usher_ban, where it is loaded, of handshakes that failed by the client's doing. */
#include "tls_private.h"

#include <apr_optional_hooks.h>

#include "usher_ban.h"

static APR_OPTIONAL_FN_TYPE(usher_ban_event) *ban_event;

static void ban_optional_fn_retrieve(void)
{
    ban_event = APR_RETRIEVE_OPTIONAL_FN(usher_ban_event);
}

void tls_ban_register(void)
{
    ap_hook_optional_fn_retrieve(ban_optional_fn_retrieve, NULL, NULL, APR_HOOK_MIDDLE);
}

void tls_ban_tell(const tls_record_t *record)
{
    conn_rec *c = record->c;

    if (ban_event && tls_reason_is_misconduct(record->facts.outcome)) {
        ban_event(USHER_BAN_HANDSHAKE, c, NULL, tls_reason_text(record, c->pool));
    }
}
