/* Every key that a worker can have in workers.properties, and what becomes of
 * it. docs/migration/mod_jk.md has a row for each; a test compares them. */
#include <string.h>

#include "jk.h"

#define JK_OLD_JVM "it was for Tomcats started by mod_jk itself"
#define JK_NO_XML  "balancer-manager has its own pages"

static const jk_key_t keys[] = {
    /* Of any worker */
    { "type", JK_TEXT, JK_ANY, JK_TAKEN, NULL, NULL },
    { "reference", JK_TEXT, JK_ANY, JK_TAKEN, NULL, NULL },
    { "mount", JK_LIST, JK_ANY, JK_TAKEN, NULL, NULL },
    { "secret", JK_TEXT, JK_ANY, JK_TAKEN, NULL, NULL },
    /* Of a server */
    { "host", JK_TEXT, JK_AJP, JK_TAKEN, NULL, NULL },
    { "port", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "source", JK_TEXT, JK_AJP, JK_DECIDE, NULL,
      "the address to connect from is ProxySourceAddress, for a whole virtual host" },
    { "prefer_ipv6", JK_BOOL, JK_AJP, JK_NEEDLESS, NULL,
      "all addresses of a name are tried in turn" },
    { "connection_pool_size", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "connection_pool_minsize", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "connection_pool_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "connection_acquire_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "cachesize", JK_NUMBER, JK_AJP, JK_TAKEN, "connection_pool_size", NULL },
    { "cache_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, "connection_pool_timeout", NULL },
    { "recycle_timeout", JK_NUMBER, JK_AJP, JK_NEEDLESS, NULL,
      "mod_jk does nothing with it any more" },
    { "socket_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "socket_connect_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "socket_keepalive", JK_BOOL, JK_AJP, JK_TAKEN, NULL, NULL },
    { "socket_buffer", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "connect_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "prepost_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "ping_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "ping_mode", JK_TEXT, JK_AJP, JK_TAKEN, NULL, NULL },
    { "connection_ping_interval", JK_NUMBER, JK_AJP, JK_NEEDLESS, NULL,
      "idle connections are watched, and closed when the server has closed them" },
    { "reply_timeout", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "max_packet_size", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "recovery_options", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "retries", JK_NUMBER, JK_AJP | JK_LB, JK_NEEDLESS, NULL,
      "each server is tried once, and what may be sent again is a matter of UsherReplay" },
    { "retry_interval", JK_NUMBER, JK_AJP | JK_LB, JK_NEEDLESS, NULL,
      "no request waits before it goes on to the next server" },
    { "fail_on_status", JK_LIST, JK_AJP, JK_TAKEN, NULL, NULL },
    { "busy_limit", JK_NUMBER, JK_AJP, JK_DECIDE, NULL,
      "UsherMemberMax limits the requests at a member, of all processes together" },
    { "secretkey", JK_TEXT, JK_AJP, JK_DECIDE, NULL,
      "it was for ajp14; an AJP connector of Tomcat wants secret=" },
    /* Of a member of an lb */
    { "lbfactor", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "lb_factor", JK_NUMBER, JK_AJP, JK_TAKEN, "lbfactor", NULL },
    { "loadfactor", JK_NUMBER, JK_AJP, JK_TAKEN, "lbfactor", NULL },
    { "route", JK_TEXT, JK_AJP, JK_TAKEN, NULL, NULL },
    { "jvm_route", JK_TEXT, JK_AJP, JK_TAKEN, "route", NULL },
    { "redirect", JK_TEXT, JK_AJP, JK_TAKEN, NULL, NULL },
    { "distance", JK_NUMBER, JK_AJP, JK_TAKEN, NULL, NULL },
    { "domain", JK_TEXT, JK_AJP, JK_DECIDE, NULL,
      "sessions do not go over to a member of the same domain: name one with redirect=" },
    { "activation", JK_TEXT, JK_AJP, JK_TAKEN, NULL, NULL },
    { "disabled", JK_BOOL, JK_AJP, JK_TAKEN, "activation", NULL },
    { "stopped", JK_BOOL, JK_AJP, JK_TAKEN, "activation", NULL },
    /* Of an lb */
    { "balance_workers", JK_LIST, JK_LB, JK_TAKEN, NULL, NULL },
    { "balanced_workers", JK_LIST, JK_LB, JK_TAKEN, "balance_workers", NULL },
    { "sticky_session", JK_BOOL, JK_LB, JK_TAKEN, NULL, NULL },
    { "sticky_session_force", JK_BOOL, JK_LB, JK_TAKEN, NULL, NULL },
    { "session_cookie", JK_TEXT, JK_LB, JK_TAKEN, NULL, NULL },
    { "session_path", JK_TEXT, JK_LB, JK_TAKEN, NULL, NULL },
    { "set_session_cookie", JK_BOOL, JK_LB, JK_TAKEN, NULL, NULL },
    { "session_cookie_path", JK_TEXT, JK_LB, JK_TAKEN, NULL, NULL },
    { "method", JK_TEXT, JK_LB, JK_TAKEN, NULL, NULL },
    { "lock", JK_TEXT, JK_LB, JK_NEEDLESS, NULL, "turns are exact without a lock" },
    { "recover_time", JK_NUMBER, JK_LB, JK_TAKEN, NULL, NULL },
    { "max_reply_timeouts", JK_NUMBER, JK_LB, JK_TAKEN, NULL, NULL },
    { "error_escalation_time", JK_NUMBER, JK_LB, JK_DECIDE, NULL,
      "how many failures within which time make a member rest is UsherBackendRest" },
    { "lb_retries", JK_NUMBER, JK_AJP | JK_LB, JK_NEEDLESS, NULL,
      "a request goes on until one of the members could be connected to" },
    { "local_worker", JK_TEXT, JK_AJP | JK_LB, JK_NEEDLESS, NULL,
      "mod_jk does nothing with it any more; distance= says what is near" },
    { "local_worker_only", JK_TEXT, JK_AJP | JK_LB, JK_NEEDLESS, NULL,
      "mod_jk does nothing with it any more" },
    /* Of a status worker */
    { "read_only", JK_BOOL, JK_STATUS, JK_DECIDE, NULL,
      "balancer-manager can always change what it shows" },
    { "user", JK_LIST, JK_STATUS, JK_DECIDE, NULL,
      "give these users the page with AuthType and Require user" },
    { "user_case_insensitive", JK_BOOL, JK_STATUS, JK_DECIDE, NULL,
      "Require user tells capital letters from small ones" },
    { "good", JK_LIST, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "bad", JK_LIST, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "css", JK_TEXT, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "prefix", JK_TEXT, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "ns", JK_TEXT, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "xmlns", JK_TEXT, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    { "doctype", JK_TEXT, JK_STATUS, JK_NEEDLESS, NULL, JK_NO_XML },
    /* Of a jni worker */
    { "bridge", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "class_path", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "cmd_line", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "jvm_lib", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "ld_path", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "ms", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "mx", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "native_lib", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "stderr", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "stdout", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
    { "sysprops", JK_TEXT, JK_ANY, JK_NEEDLESS, NULL, JK_OLD_JVM },
};

const jk_key_t *jk_key_at(int i)
{
    return i >= 0 && (apr_size_t)i < sizeof(keys) / sizeof(keys[0]) ? &keys[i] : NULL;
}

const jk_key_t *jk_key_find(const char *name)
{
    const jk_key_t *key;
    int i;

    for (i = 0; (key = jk_key_at(i)) != NULL; ++i) {
        if (!strcmp(key->name, name)) {
            return key;
        }
    }
    return NULL;
}
