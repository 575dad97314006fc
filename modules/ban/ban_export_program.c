/* The program of UsherBanExport: run by the parent, with its rights, and run again when it ends.
 *
 * It reads a pipe whose other end, and only that, all children of its configuration have; the tick's child
 * writes. The parent holds both ends, so that nobody's write fails while no program reads. At a
 * restart the old program is told to end, and one of the new configuration begins. */
#include <ap_mpm.h>
#include <apr_portable.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ban_export.h"

APLOG_USE_MODULE(usher_ban);

/* What the kernel gives to anybody, for many bans at once. */
#define PIPE_SIZE (1 << 20)
/* How long a program that was told to end is waited for: a second. */
#define END_TRIES 100
#define END_PAUSE (APR_USEC_PER_SEC / 100)

typedef struct {
    const char *command;
    apr_pool_t *p;
    apr_proc_t proc;
    int is_running;
    pid_t parent;
    apr_file_t *read_end, *write_end;
} program_t;

static program_t *program; /* in pconf; NULL: there is none */

int ban_export_program_fd(void)
{
    apr_os_file_t fd = -1;

    return program && apr_os_file_get(&fd, program->write_end) == APR_SUCCESS ? fd : -1;
}

/* What the last one has not read, it was not told: the next one is told all. */
static void program_drain(void)
{
    char bytes[4096];
    apr_os_file_t fd;
    int waiting = 0;

    if (apr_os_file_get(&fd, program->read_end) != APR_SUCCESS) {
        return;
    }
    while (!ioctl(fd, FIONREAD, &waiting) && waiting > 0
           && read(fd, bytes, (size_t)waiting < sizeof(bytes) ? (size_t)waiting : sizeof(bytes)) > 0) {
    }
}

/* httpd stops or restarts: prefork sends its signal to the whole process group, the program too. */
static int program_is_over(void)
{
    int state = 0;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS || state == AP_MPMQ_STOPPING;
}

/* @param status  not waitpid()'s, but what httpd makes of it: an exit status or a signal, and it does not say which */
static void program_maintain(int reason, void *data, apr_wait_t status)
{
    program_t *ended = data;

    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        ended->is_running = 0;
        apr_proc_other_child_unregister(ended);
        if (program_is_over()) {
            return;
        }
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf, USHERLOGNO(8075)
                     "UsherBanExport \"%s\": has ended with %d, its exit status or the signal that ended it; it is "
                     "started again in some seconds, and told all bans", ended->command, status);
    }
}

static apr_status_t program_run(apr_pool_t *ptemp)
{
    apr_procattr_t *attr;
    apr_status_t rv;
    char **words;

    program_drain();
    if ((rv = apr_tokenize_to_argv(program->command, &words, ptemp)) != APR_SUCCESS
        || (rv = apr_procattr_create(&attr, ptemp)) != APR_SUCCESS
        || (rv = apr_procattr_cmdtype_set(attr, APR_PROGRAM_ENV)) != APR_SUCCESS
        || (rv = apr_procattr_child_in_set(attr, program->read_end, NULL)) != APR_SUCCESS
        || (rv = apr_procattr_error_check_set(attr, 1)) != APR_SUCCESS) {
        return rv;
    }
    rv = apr_proc_create(&program->proc, words[0], (const char *const *)words, NULL, attr, program->p);
    if (rv == APR_SUCCESS) {
        program->is_running = 1;
        apr_proc_other_child_register(&program->proc, program_maintain, program, NULL, program->p);
        atomic_fetch_add(&ban_export_shm()->started, 1);
    }
    return rv;
}

static void program_try(server_rec *s, apr_pool_t *ptemp)
{
    static apr_status_t said; /* only the parent's main thread is here */
    apr_status_t rv = program_run(ptemp);

    if (rv != APR_SUCCESS && rv != said) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, USHERLOGNO(8076)
                     "UsherBanExport \"%s\": cannot be started: only httpd itself refuses who is banned. It is tried "
                     "again and again", program->command);
    }
    said = rv;
}

static void program_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    if (program && !program->is_running) {
        program_try(s, ptemp);
    }
}

/* Who could read here would have the parent wait for what program_drain() was told is there. */
void ban_export_child_init(void)
{
    if (program) {
        apr_file_close(program->read_end);
    }
}

/* The configuration goes: a restart, or the end. Not of a child that ends. */
static apr_status_t program_stop(void *data)
{
    int tries = END_TRIES;

    if (program && program->parent == getpid() && program->is_running) {
        apr_proc_other_child_unregister(program);
        kill(program->proc.pid, SIGTERM);
        while (!waitpid(program->proc.pid, NULL, WNOHANG) && --tries) {
            apr_sleep(END_PAUSE);
        }
    }
    program = NULL;
    return APR_SUCCESS;
}

/* @return 0: there is none */
static int program_pipe(apr_pool_t *pconf)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC)) {
        return 0;
    }
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE); /* or it takes longer */
    fcntl(fds[1], F_SETFL, O_NONBLOCK | O_WRONLY);
    apr_os_pipe_put_ex(&program->read_end, &fds[0], 1, pconf);
    apr_os_pipe_put_ex(&program->write_end, &fds[1], 1, pconf);
    return 1;
}

void ban_export_program_start(const char *command, apr_pool_t *pconf, server_rec *s)
{
    static const usher_tick_work_t work = {
        .name = "the program of UsherBanExport", .where = USHER_TICK_PARENT, .run = program_tick,
    };

    program = apr_pcalloc(pconf, sizeof(*program));
    program->command = command;
    program->p = pconf;
    program->parent = getpid();
    if (!program_pipe(pconf)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s, USHERLOGNO(8077)
                     "UsherBanExport \"%s\": there is no pipe for it: only httpd itself refuses who is banned", command);
        program = NULL;
        return;
    }
    /* While the list of APR's other children is whole. */
    apr_pool_pre_cleanup_register(pconf, NULL, program_stop);
    atomic_store(&ban_export_shm()->generation, (apr_uint32_t)ap_state_query(AP_SQ_CONFIG_GEN));
    ban_core->tick_add(&work);
    program_try(s, pconf);
}
