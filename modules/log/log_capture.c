/* UsherLogCapture: headers of requests and answers, and one cookie, in the lines of the log. They
 * are read when the request is logged: what modules did to them until then shows. */
#include "log_private.h"
#include "usher_number.h"
#include "usher_setcookie.h"
#include "usher_text.h"

APLOG_USE_MODULE(usher_log);

#define CAPTURES_MAX 32
#define CAPTURE_LEN_MAX 4096

#define CAPTURE_TAKES "takes \"request header NAME len NUMBER\", \"response header NAME len " \
                      "NUMBER\" or \"cookie NAME len NUMBER\", with a NUMBER from 1 to 4096"

/* The name, and what follows it. @return NULL, or what is wrong */
static const char *capture_parse(log_capture_t *capture, cmd_parms *cmd, int argc,
                                 char *const argv[])
{
    apr_uint64_t len;

    if (argc != 3 || ap_cstr_casecmp(argv[1], "len")) {
        return CAPTURE_TAKES;
    }
    if (!usher_text_is_token(argv[0], strlen(argv[0]))) {
        return apr_psprintf(cmd->pool, "\"%s\": is no name of a header or a cookie; it %s", argv[0],
                            CAPTURE_TAKES);
    }
    if (!*argv[2] || usher_number_parse(&len, CAPTURE_LEN_MAX, argv[2], strlen(argv[2]))
                         != strlen(argv[2]) || !len) {
        return apr_psprintf(cmd->pool, "\"%s\": %s", argv[2], CAPTURE_TAKES);
    }
    capture->name = argv[0];
    capture->len_max = (apr_size_t)len;
    return NULL;
}

static const char *capture_add(log_captures_t *captures, cmd_parms *cmd, int argc,
                               char *const argv[])
{
    int is_cookie = argc > 0 && !ap_cstr_casecmp(argv[0], "cookie");
    int of_answer = argc > 0 && !ap_cstr_casecmp(argv[0], "response");
    log_capture_t capture = { NULL, 0, of_answer };
    const char *reason;

    if (!is_cookie && (argc < 2 || ap_cstr_casecmp(argv[1], "header")
                       || (!of_answer && ap_cstr_casecmp(argv[0], "request")))) {
        return CAPTURE_TAKES;
    }
    reason = is_cookie ? capture_parse(&capture, cmd, argc - 1, argv + 1)
                       : capture_parse(&capture, cmd, argc - 2, argv + 2);
    if (reason) {
        return reason;
    }
    if (is_cookie && captures->cookie.name) {
        return apr_psprintf(cmd->pool, "cookie %s: a virtual host captures one cookie, which is %s "
                            "already; remove one of the two lines", capture.name,
                            captures->cookie.name);
    }
    if (is_cookie) {
        captures->cookie = capture;
    }
    else if (captures->headers->nelts == CAPTURES_MAX) {
        return apr_psprintf(cmd->pool, "header %s: a virtual host captures up to %d headers; "
                            "remove some of the lines", capture.name, CAPTURES_MAX);
    }
    else {
        APR_ARRAY_PUSH(captures->headers, log_capture_t) = capture;
    }
    return NULL;
}

const char *log_capture_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    log_conf_t *conf = ap_get_module_config(cmd->server->module_config, &usher_log_module);
    const char *reason = log_conf_why_not_here(cmd);

    if (!conf->captures) {
        conf->captures = apr_pcalloc(cmd->pool, sizeof(*conf->captures));
        conf->captures->headers = apr_array_make(cmd->pool, 4, sizeof(log_capture_t));
    }
    if (!reason) {
        reason = capture_add(conf->captures, cmd, argc, argv);
    }
    return reason ? usher_conf_refuse(cmd, reason) : NULL;
}

static int capture_cut(usher_span_t *value, apr_size_t len_max)
{
    if (value->len > len_max) {
        value->len = len_max;
    }
    return 1;
}

int log_capture_header(usher_span_t *value, const log_capture_t *capture, request_rec *first,
                       request_rec *last)
{
    const char *text = capture->of_answer ? apr_table_get(last->headers_out, capture->name)
                                          : apr_table_get(first->headers_in, capture->name);

    if (!text && capture->of_answer) {
        text = apr_table_get(last->err_headers_out, capture->name);
    }
    if (!text && capture->of_answer && last->content_type
        && !ap_cstr_casecmp(capture->name, "Content-Type")) {
        text = last->content_type;
    }
    if (!text) {
        return 0;
    }
    value->text = text;
    value->len = strlen(text);
    return capture_cut(value, capture->len_max);
}

int log_capture_cookie_sent(usher_span_t *value, const log_captures_t *captures,
                            const request_rec *first)
{
    const char *field = apr_table_get(first->headers_in, "Cookie");
    const char *name = captures->cookie.name;
    apr_size_t at = 0;

    return field && usher_cookie_next(value, &at, field, strlen(field), name, strlen(name))
           && capture_cut(value, captures->cookie.len_max);
}

typedef struct {
    usher_span_t *value;
    const log_capture_t *cookie;
    apr_int64_t utc;
    int found;
} capture_search_t;

static int capture_see(void *data, const char *key, const char *text)
{
    capture_search_t *search = data;
    usher_span_t value;

    if (usher_setcookie(&value, text, strlen(text), search->cookie->name,
                        strlen(search->cookie->name), search->utc) != USHER_SETCOOKIE_OTHER) {
        *search->value = value;
        search->found = 1;
    }
    return 1;
}

/* Few answers set any. */
static void capture_look(capture_search_t *search, const apr_table_t *fields)
{
    if (apr_table_get(fields, "Set-Cookie")) {
        apr_table_do(capture_see, search, fields, "Set-Cookie", NULL);
    }
}

int log_capture_cookie_set(usher_span_t *value, const log_captures_t *captures,
                           const request_rec *last)
{
    capture_search_t search = { value, &captures->cookie, apr_time_sec(last->request_time), 0 };

    capture_look(&search, last->headers_out);
    capture_look(&search, last->err_headers_out);
    return search.found && capture_cut(value, captures->cookie.len_max);
}
