/* Whether this child shall end now, whatever its requests are doing: for those
 * that may last for hours.
 *
 * A child that ends gracefully waits for its requests, and hears of nothing else
 * any more: when the limit is over (GracefulShutdownTimeout, or a plain stop
 * after a graceful restart) its parent sends SIGTERM, which the threaded MPMs
 * then ignore, and SIGKILL some nine seconds later. So that SIGTERM is heard
 * here, by a handler before the MPM's. It is set no earlier than such a child
 * needs it, as the MPM sets its own one late. */
#include <signal.h>
#include <stdatomic.h>

#include <ap_mpm.h>

#include "backend_private.h"

static _Atomic int listening;
static volatile sig_atomic_t told;
static struct sigaction before;

static void stop_handler(int signal)
{
    told = 1;
    before.sa_handler(signal);
}

static int stop_is_graceful(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

static void stop_listen(void)
{
    struct sigaction action = { .sa_handler = stop_handler };

    if (sigaction(SIGTERM, NULL, &before) != 0 || before.sa_flags & SA_SIGINFO
        || before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
        return; /* nobody waits for us */
    }
    action.sa_flags = before.sa_flags;
    action.sa_mask = before.sa_mask;
    sigaction(SIGTERM, &action, NULL);
}

int backend_stop_is_due(void)
{
    if (!listening && stop_is_graceful() && !atomic_exchange(&listening, 1)) {
        stop_listen();
    }
    return told;
}
