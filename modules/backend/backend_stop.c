/* Whether this child shall end now, whatever its requests are doing: for those
 * that may last for hours.
 *
 * A child that ends gracefully waits for its requests, and hears of nothing else
 * any more: when the limit is over (GracefulShutdownTimeout, or a plain stop
 * after a graceful restart) its parent sends SIGTERM, which the threaded MPMs
 * ignore then, and SIGKILL some nine seconds later. So that SIGTERM is heard
 * here, by a handler before the MPM's own. MPMs also send it to themselves, only
 * to wake up. */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "backend_private.h"

static atomic_flag busy = ATOMIC_FLAG_INIT;
static volatile sig_atomic_t told;
static struct sigaction before; /* the MPM's */

static void stop_handler(int signal, siginfo_t *info, void *context)
{
    if (info->si_pid != getpid()) {
        told = 1;
    }
    before.sa_handler(signal);
}

/* The MPM sets its own handler late, when requests may be served already. */
static void stop_listen(void)
{
    struct sigaction now, action;

    if (sigaction(SIGTERM, NULL, &now) != 0 || now.sa_flags & SA_SIGINFO
        || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
        return; /* it is ours, or nothing waits for us */
    }
    before = now;
    action = now;
    action.sa_sigaction = stop_handler;
    action.sa_flags |= SA_SIGINFO;
    sigaction(SIGTERM, &action, NULL);
}

/* Before the module's code goes. */
static apr_status_t stop_forget(void *data)
{
    struct sigaction now;

    if (sigaction(SIGTERM, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO
        && now.sa_sigaction == stop_handler) {
        sigaction(SIGTERM, &before, NULL);
    }
    return APR_SUCCESS;
}

void backend_stop_child_init(apr_pool_t *pchild)
{
    apr_pool_pre_cleanup_register(pchild, NULL, stop_forget);
}

int backend_stop_is_due(void)
{
    if (!told && !atomic_flag_test_and_set(&busy)) {
        stop_listen();
        atomic_flag_clear(&busy);
    }
    return told;
}
