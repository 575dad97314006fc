/* UsherStateDir: the directory for what shall outlive httpd.
 *
 * It belongs to the user that children run as, since children write there too. So the parent,
 * who is root, makes it but changes nothing of one that is there: it could be any
 * directory, by mistake, or a link that this user has put in its place. */
#include <errno.h>
#include <fcntl.h>
#include <httpd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "core_private.h"

APLOG_USE_MODULE(usher);

static const char *state_dir;  /* of the directive; NULL: none was given */
static const char *state_path; /* as it is used */
static int state_is_wanted;
static int state_is_there;

void core_state_pre_config(void)
{
    state_dir = state_path = NULL;
    state_is_wanted = 0;
    state_is_there = 1; /* as far as check_config knows */
}

/* Takes any number of arguments, and stands in any section, as UsherMemory. */
const char *core_state_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *path;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        return usher_conf_refuse(cmd, "belongs outside of all sections");
    }
    if (argc != 1 || !*argv[0]) {
        return usher_conf_refuse(cmd, "takes one argument, a directory");
    }
    path = ap_server_root_relative(cmd->pool, argv[0]);
    if (!path) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": is no path", argv[0]));
    }
    state_dir = path;
    return NULL;
}

const char *core_state_dir(void)
{
    state_is_wanted = 1;
    if (!state_path) {
        state_path = state_dir ? state_dir : USHER_STATE_DIR;
    }
    return state_is_there ? state_path : NULL;
}

/* Whom children run as. */
static uid_t state_user(void)
{
    return geteuid() ? geteuid() : ap_unixd_config.user_id;
}

/* Why a directory that is there cannot be used; NULL: it can. Who only tests the
 * configuration may be neither root nor the user. */
static const char *state_judge(apr_pool_t *p, const struct stat *info)
{
    if (S_ISLNK(info->st_mode)) {
        return "is a symbolic link: name the directory itself";
    }
    if (!S_ISDIR(info->st_mode)) {
        return "is no directory";
    }
    if (info->st_uid != state_user() && info->st_uid != ap_unixd_config.user_id) {
        return apr_psprintf(p, "belongs to user %ld, not to the one that httpd's children run as, "
                            "%ld: name another one, which httpd makes itself, or change its owner "
                            "if it is Usher's alone", (long)info->st_uid, (long)state_user());
    }
    if (info->st_mode & 022) {
        return "may be written to by others: chmod 700";
    }
    return NULL;
}

/* Whether it can be made there, as far as this is known: anybody could make another one in a
 * directory where all may write. */
static const char *state_judge_parent(apr_pool_t *p, const char *path)
{
    const char *parent = ap_make_dirstr_parent(p, path);
    struct stat info;

    if (!stat(parent, &info) && !S_ISDIR(info.st_mode)) {
        return "what should hold it is no directory";
    }
    if (!stat(parent, &info) && info.st_mode & S_IWOTH && !(info.st_mode & S_ISVTX)) {
        return "the directory that should hold it may be written to by all: name another one";
    }
    return NULL;
}

static int state_refuse(server_rec *s, const char *reason, apr_status_t rv)
{
    /* What is a default must not keep httpd from starting. */
    int refuse = state_dir && usher_conf_may_refuse();

    state_is_there = 0;
    ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, USHERLOGNO(1050)
                 "UsherStateDir %s: %s%s", state_path, reason,
                 refuse ? "" : "; as it is, what Usher would keep there is lost when httpd is "
                 "stopped");
    return refuse ? !OK : OK;
}

const char *core_state_judge(apr_pool_t *p, const char *path)
{
    struct stat info;

    return lstat(path, &info) ? state_judge_parent(p, path) : state_judge(p, &info);
}

int core_state_check_config(apr_pool_t *ptemp, server_rec *s)
{
    const char *wrong;

    if (!state_is_wanted) {
        return OK;
    }
    wrong = core_state_judge(ptemp, state_path);
    return wrong ? state_refuse(s, wrong, 0) : OK;
}

/* Only what was made just now gets an owner: nobody can have put anything else there, as only
 * root may write where it lies. */
apr_status_t core_state_make(apr_pool_t *p, const char *path)
{
    apr_status_t rv = apr_dir_make_recursive(ap_make_dirstr_parent(p, path),
                                             APR_FPROT_OS_DEFAULT, p);
    int fd;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (mkdir(path, 0700)) {
        return errno == EEXIST ? APR_SUCCESS : errno;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (!geteuid() && fchown(fd, ap_unixd_config.user_id, ap_unixd_config.group_id))) {
        rv = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

int core_state_post_config(apr_pool_t *ptemp, server_rec *s)
{
    struct stat info;
    const char *wrong;
    apr_status_t rv;

    if (!state_is_wanted || !state_is_there) {
        return OK;
    }
    rv = core_state_make(ptemp, state_path);
    if (rv != APR_SUCCESS) {
        return state_refuse(s, "cannot be made: make it, for the user that httpd's children run "
                               "as, or name another one", rv);
    }
    if (lstat(state_path, &info)) {
        return state_refuse(s, "cannot be looked at", errno);
    }
    wrong = state_judge(ptemp, &info);
    return wrong ? state_refuse(s, wrong, 0) : OK;
}
