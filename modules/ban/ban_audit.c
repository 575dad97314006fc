/* UsherBanLog: a line for each change of bans, in a file, or to a program; without it, in the
 * error log. Clients have no byte of a line that is not escaped. */
#include <apr_portable.h>
#include <fcntl.h>

#include "ban_private.h"
#include "usher_clock.h"
#include "usher_duration.h"
#include "usher_logtext.h"

APLOG_USE_MODULE(usher_ban);

#define LINE_SIZE 3072
/* Of what others have chosen. */
#define TEXT_MAX 200
/* That a line could not be written is said so often, ms. */
#define SAY_AGAIN 60000

static const char *audit_name; /* as the directive has it, with the '|' of a pipe; NULL: none */
static apr_file_t *audit_file; /* NULL: the error log */

static const char *const verbs[] = {
    [BAN_AUDIT_BAN] = "ban",
    [BAN_AUDIT_TRIAL] = "would-ban",
    [BAN_AUDIT_REMOVE] = "remove",
    [BAN_AUDIT_SPARE] = "spare",
};

void ban_audit_init(void)
{
    audit_name = NULL;
    audit_file = NULL;
}

const char *ban_audit_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *wrong;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1) {
        return usher_conf_refuse(cmd, "takes one argument: a file or \"|program\"");
    }
    if (*argv[0] == '|' && !argv[0][1 + strspn(argv[0] + 1, "|$ ")]) {
        return usher_conf_refuse(cmd, "\"|\": a program must follow the |");
    }
    wrong = *argv[0] == '|' ? NULL : usher_conf_check_log(cmd->temp_pool, argv[0]);
    if (wrong) {
        return usher_conf_refuse(cmd, wrong);
    }
    audit_name = argv[0];
    return NULL;
}

/* Nobody waits for a program that does not read. */
static apr_status_t audit_open_program(apr_pool_t *p)
{
    piped_log *pipe = ap_open_piped_log(p, audit_name + 1);
    apr_file_t *file = pipe ? ap_piped_log_write_fd(pipe) : NULL;
    apr_os_file_t fd;

    if (!file || apr_os_file_get(&fd, file) != APR_SUCCESS
        || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        return APR_EGENERAL;
    }
    audit_file = file;
    return APR_SUCCESS;
}

int ban_audit_open_logs(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;

    if (audit_name && *audit_name == '|') {
        rv = audit_open_program(pconf);
    }
    else if (audit_name) {
        rv = apr_file_open(&audit_file, ap_server_root_relative(pconf, audit_name),
                           APR_FOPEN_WRITE | APR_FOPEN_APPEND | APR_FOPEN_CREATE | APR_FOPEN_LARGEFILE,
                           APR_OS_DEFAULT, pconf);
    }
    if (rv == APR_SUCCESS) {
        return OK;
    }
    audit_file = NULL;
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(8072)
                 "UsherBanLog \"%s\" could not be opened%s", audit_name,
                 usher_conf_may_refuse() ? "" : ": bans are logged in the error log");
    return usher_conf_may_refuse() ? !OK : OK;
}

static void audit_text(usher_logtext_t *line, const char *name, const char *text)
{
    apr_size_t len = strlen(text);

    usher_logtext_put(line, name, strlen(name));
    USHER_LOGTEXT_LITERAL(line, "=\"");
    usher_logtext_escape(line, text, len < TEXT_MAX ? len : TEXT_MAX, USHER_LOGTEXT_QUOTED);
    USHER_LOGTEXT_LITERAL(line, "\"");
}

/* What a ban was made for: escaped by who kept it, but for what somebody who banned by hand has
 * written. What is between the quotes ends at the first one without a backslash. */
static void audit_why(usher_logtext_t *line, const char *why)
{
    for (; *why; ++why) {
        int is_pair = *why == '\\' && why[1] > ' ' && why[1] <= '~';

        if (*why == '"' || (*why == '\\' && !is_pair)) {
            usher_logtext_char(line, '\\');
        }
        usher_logtext_char(line, (char)(*why < ' ' || *why > '~' ? '?' : *why));
        if (is_pair) {
            usher_logtext_char(line, *++why);
        }
    }
}

static void audit_number(usher_logtext_t *line, const char *name, apr_uint64_t number)
{
    usher_logtext_put(line, name, strlen(name));
    usher_logtext_padded(line, number, 1);
}

/* How long it lasts from now on, and until when. */
static void audit_until(usher_logtext_t *line, const ban_t *ban)
{
    const usher_clock_t *clock = usher_clock_system();
    apr_int64_t now = clock->boot_now() / 1000, left = ban->until > now ? ban->until - now : 0;
    char length[USHER_DURATION_SIZE], until[USHER_UTC_SIZE];

    if (left > USHER_DURATION_MAX / 1000) {
        USHER_LOGTEXT_LITERAL(line, " for=ever");
        return;
    }
    left = (left + 999) / 1000 * 1000;
    usher_duration_format(length, left * 1000);
    usher_utc_format(until, clock->utc_now() + left * 1000);
    USHER_LOGTEXT_LITERAL(line, " for=");
    usher_logtext_put(line, length, strlen(length));
    USHER_LOGTEXT_LITERAL(line, " until=");
    usher_logtext_put(line, until, strlen(until));
}

static void audit_line(usher_logtext_t *line, ban_audit_e what, const ban_t *ban, const char *who,
                       const char *note)
{
    char prefix[BAN_PREFIX_SIZE];

    usher_logtext_put(line, verbs[what], strlen(verbs[what]));
    USHER_LOGTEXT_LITERAL(line, " ");
    ban_prefix_format(prefix, &ban->prefix);
    usher_logtext_put(line, prefix, strlen(prefix));
    audit_text(line, " by", who);
    if (what == BAN_AUDIT_BAN || what == BAN_AUDIT_TRIAL) {
        audit_until(line, ban);
    }
    audit_text(line, " rule", ban->origin == BAN_BY_HAND ? "" : ban->name);
    audit_number(line, " times=", ban->times);
    audit_number(line, " events=", ban->events);
    USHER_LOGTEXT_LITERAL(line, " why=\"");
    audit_why(line, ban->why);
    USHER_LOGTEXT_LITERAL(line, "\"");
    if (note) {
        audit_text(line, " note", note);
    }
}

/* As httpd's other logs: all threads and processes append, each with one write. @return 0: it was not written */
static int audit_write(char *text, apr_size_t len, server_rec *s)
{
    static _Atomic apr_int64_t said_at;
    apr_size_t written = len;
    apr_status_t rv = apr_file_write(audit_file, text, &written);
    apr_int64_t now = ban_now(), said = said_at;

    if (rv != APR_SUCCESS && (!said || now - said >= SAY_AGAIN)) {
        said_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, USHERLOGNO(8073)
                     "UsherBanLog \"%s\" takes nothing: bans are logged in the error log until it does: is the disk "
                     "full, or does the program hang?", audit_name);
    }
    return rv == APR_SUCCESS;
}

void ban_audit(ban_audit_e what, const ban_t *ban, const char *who, const char *note, server_rec *s)
{
    char text[LINE_SIZE + 1], utc[USHER_UTC_SIZE];
    usher_logtext_t line = { text, LINE_SIZE, 0 };
    apr_size_t from;

    usher_utc_format(utc, usher_clock_system()->utc_now());
    usher_logtext_put(&line, utc, strlen(utc));
    USHER_LOGTEXT_LITERAL(&line, " ");
    from = line.len;
    audit_line(&line, what, ban, who, note);
    if (line.len > line.size) {
        return; /* cannot be: all of it is bounded */
    }
    text[line.len] = '\n';
    if (!audit_file || !audit_write(text, line.len + 1, s)) {
        text[line.len] = '\0';
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, USHERLOGNO(8074) "usher-ban: %s", text + from);
    }
}
