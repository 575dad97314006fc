/* POST: an administrator switches a member. What he says counts for the next request in
 * all children; each attempt is a line of the log. */
#include <http_protocol.h>
#include <util_script.h>

#include "status_private.h"
#include "usher_number.h"

APLOG_USE_MODULE(usher_status);

/* More than that no field of ours has. */
#define VALUE_MAX 1024
#define FIELDS_MAX 16

#define PROBLEM(status, code, text) (status_problem_t) { (status), (code), (text) }

static int change_is_form(request_rec *r)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    return type && !ap_cstr_casecmpn(type, form, sizeof(form) - 1)
           && (!type[sizeof(form) - 1] || strchr("; \t", type[sizeof(form) - 1]));
}

/* A field's value; NULL where there is a NUL in it. */
static const char *change_value(request_rec *r, const ap_form_pair_t *pair)
{
    char *value;
    apr_size_t size;

    if (apr_brigade_pflatten(pair->value, &value, &size, r->pool) != APR_SUCCESS
        || memchr(value, '\0', size)) {
        return NULL;
    }
    return apr_pstrmemdup(r->pool, value, size);
}

/* @param seen  a bit for each field that came @return 0: it came before */
static int change_field(request_rec *r, status_form_t *form, const ap_form_pair_t *pair,
                        unsigned int *seen)
{
    const struct {
        const char *name;
        const char **value;
    } fields[] = {
        { "cluster", &form->cluster }, { "member", &form->member }, { "action", &form->action },
        { "value", &form->value }, { "token", &form->token },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); ++i) {
        if (strcmp(pair->name, fields[i].name) != 0) {
            continue;
        }
        if (*seen & 1u << i) {
            return 0;
        }
        *seen |= 1u << i;
        *fields[i].value = change_value(r, pair);
    }
    return 1;
}

static void change_read(request_rec *r, status_form_t *form, status_problem_t *problem)
{
    apr_array_header_t *pairs = NULL;
    unsigned int seen = 0;
    int i, rc;

    if (!change_is_form(r)) {
        *problem = PROBLEM(HTTP_UNSUPPORTED_MEDIA_TYPE, "no_form",
                           "a change is sent as application/x-www-form-urlencoded");
        return;
    }
    rc = ap_parse_form_data(r, NULL, &pairs, FIELDS_MAX, VALUE_MAX);
    if (rc != OK) {
        *problem = PROBLEM(rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? rc : HTTP_BAD_REQUEST, "bad_form",
                           "this is no form, or a too large one");
        return;
    }
    for (i = 0; pairs && i < pairs->nelts; ++i) {
        if (!change_field(r, form, &APR_ARRAY_IDX(pairs, i, ap_form_pair_t), &seen)) {
            *problem = PROBLEM(HTTP_BAD_REQUEST, "bad_form", "a field is there twice");
            return;
        }
    }
    if (!form->token) {
        form->token = apr_table_get(r->headers_in, "X-Usher-Token");
    }
}

static void change_check(request_rec *r, const status_form_t *form, status_problem_t *problem)
{
    if (status_token_is_foreign(r)) {
        *problem = PROBLEM(HTTP_FORBIDDEN, "foreign_site",
                           "the request comes from a page of another site");
    }
    else if (!status_token_fits(r, form->token)) {
        *problem = PROBLEM(HTTP_FORBIDDEN, "bad_token",
                           "the token is missing, old, or somebody else's: ask for the status, "
                           "which has a new one");
    }
}

/* What was asked for, as a setting. */
static void change_target(const status_form_t *form, usher_admin_setting_t *to,
                          status_problem_t *problem)
{
    const char *action = form->action ? form->action : "";
    const char *value = form->value ? form->value : "";
    apr_uint64_t number;

    if (!strcmp(action, "enable")) {
        to->state = USHER_ADMIN_ENABLED;
        /* A weight of 0 would keep it from new requests. */
        to->weight = to->weight ? to->weight : USHER_ADMIN_WEIGHT_NONE;
    }
    else if (!strcmp(action, "drain")) {
        to->state = USHER_ADMIN_DRAIN;
    }
    else if (!strcmp(action, "off")) {
        to->state = USHER_ADMIN_OFF;
    }
    else if (strcmp(action, "weight") != 0) {
        *problem = PROBLEM(HTTP_UNPROCESSABLE_ENTITY, "bad_action",
                           "action is enable, drain, off or weight");
    }
    else if (!strcmp(value, "default")) {
        to->weight = USHER_ADMIN_WEIGHT_NONE;
    }
    else if (usher_number_parse(&number, USHER_ADMIN_WEIGHT_MAX, value, strlen(value))
             != strlen(value) || !*value) {
        *problem = PROBLEM(HTTP_UNPROCESSABLE_ENTITY, "bad_value",
                           "value of a weight is a whole number from 0 to 100, or default");
    }
    else {
        to->weight = (int)number;
    }
}

static const char *change_who(request_rec *r)
{
    return apr_psprintf(r->pool, "%.30s%s%s", r->user ? r->user : "", r->user ? "@" : "",
                        r->useragent_ip);
}

/* Until nobody else was faster. */
static void change_do(request_rec *r, status_member_t *member, const status_form_t *form,
                      usher_admin_setting_t *from, status_problem_t *problem)
{
    usher_admin_setting_t to;

    do {
        *from = to = usher_admin_get(&member->rec->admin);
        change_target(form, &to, problem);
        if (problem->status || (to.state == from->state && to.weight == from->weight)) {
            break;
        }
    } while (!usher_admin_change(&member->rec->admin, *from, to, member->view->boot,
                                 change_who(r)));
    /* What children have prepared is old now. */
    atomic_fetch_add(&member->cluster->rec->changes, 1);
    member->admin = usher_admin_get(&member->rec->admin);
}

static json_t *change_refused(request_rec *r, const status_form_t *form,
                              const status_problem_t *problem)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(9011)
                  "usher-status: %s was not allowed action %.20s for member %.100s of %.100s "
                  "(%s): %s", change_who(r), form->action ? form->action : "-",
                  form->member ? form->member : "-", form->cluster ? form->cluster : "-",
                  problem->code, problem->text);
    r->status = problem->status;
    return json_pack("{s:s, s:s}", "error", problem->code, "text", problem->text);
}

static json_t *change_done(request_rec *r, const status_member_t *member,
                           usher_admin_setting_t from)
{
    const char *was = status_state_setting(r->pool, from);
    const char *is = status_state_setting(r->pool, member->admin);

    int same = !strcmp(was, is);

    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, USHERLOGNO(9010)
                  "usher-status: %s switched member %s%s%s%s of %s%s%s: %s%s%s", change_who(r),
                  member->url, *member->route ? " (" : "", member->route,
                  *member->route ? ")" : "", member->cluster->name,
                  *member->cluster->server ? " of " : "", member->cluster->server,
                  same ? "was already" : was, same ? " " : " -> ", is);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "cluster", member->cluster->name, "member",
                     member->url, "id", member->id, "from", was, "to", is, "left",
                     status_model_left(member));
}

json_t *status_change_run(request_rec *r)
{
    status_form_t form = { NULL };
    status_problem_t problem = { 0 };
    usher_admin_setting_t from = { USHER_ADMIN_ENABLED, USHER_ADMIN_WEIGHT_NONE };
    status_member_t *member = NULL;

    change_read(r, &form, &problem);
    if (!problem.status) {
        change_check(r, &form, &problem);
    }
    if (!problem.status) {
        member = status_find_member(status_view_make(r), &form, &problem);
    }
    if (member) {
        change_do(r, member, &form, &from, &problem);
    }
    return problem.status ? change_refused(r, &form, &problem) : change_done(r, member, from);
}
