/* usher_signed_by(): the keys and certificates of registration, for handlers of other modules. */
#include "register_private.h"
#include "usher_signed.h"

APLOG_USE_MODULE(usher_register);

static void usher_signed_by(request_rec *r, const char *body, apr_size_t len, usher_signed_t *result)
{
    register_error_t error = { HTTP_SERVICE_UNAVAILABLE, "no-keys", "mod_usher_register is off here" };
    register_who_t who;

    *result = (usher_signed_t) { .status = OK };
    if (register_core && register_auth(r, body, len, &who, &error) == OK) {
        if (who.nonce_key) {
            register_nonce_tell(&who);
        }
        result->who = who.name;
        result->may_ban = register_policy_may_ban(who.policy);
        return;
    }
    result->status = error.status;
    result->code = error.code;
    result->message = error.message;
}

void register_signed_offer(void)
{
    APR_REGISTER_OPTIONAL_FN(usher_signed_by);
}
