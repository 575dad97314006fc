/* What became of connections after an answer, of all children together since
 * httpd was started. The counters only grow, by single atomic additions: a child
 * that is killed leaves nothing half done, so they need no lock and no repair. */
#include "linger_private.h"

#include <mod_status.h>
#include <stdatomic.h>

/* A thread counts in the row of its number, so that two seldom share a cache line. */
#define COUNT_ROWS 64
#define COUNT_ROW_SIZE 128

typedef struct {
    _Atomic apr_uint64_t of[LINGER_OUTCOMES];
    char pad[COUNT_ROW_SIZE - LINGER_OUTCOMES * sizeof(apr_uint64_t)];
} count_row_t;

typedef struct {
    count_row_t rows[COUNT_ROWS];
} linger_count_shm_t;
_Static_assert(sizeof(linger_count_shm_t) == COUNT_ROWS * COUNT_ROW_SIZE, "rows are whole lines");

const usher_memory_spec_t linger_count_spec = {
    .name = "linger",
    .layout = 1,
    .size = sizeof(linger_count_shm_t),
    .size_min = sizeof(linger_count_shm_t),
    .size_max = sizeof(linger_count_shm_t),
};

static linger_count_shm_t *count_shm;

void linger_count_use(void *base)
{
    count_shm = base;
}

void linger_count(linger_outcome_e outcome, long id)
{
    if (count_shm) {
        atomic_fetch_add_explicit(&count_shm->rows[(unsigned long)id % COUNT_ROWS].of[outcome], 1,
                                  memory_order_relaxed);
    }
}

static apr_uint64_t count_sum(linger_outcome_e outcome)
{
    apr_uint64_t sum = 0;
    int i;

    for (i = 0; i < COUNT_ROWS; ++i) {
        sum += atomic_load_explicit(&count_shm->rows[i].of[outcome], memory_order_relaxed);
    }
    return sum;
}

int linger_count_status(request_rec *r, int flags)
{
    static const struct {
        const char *name, *text;
    } shown[LINGER_OUTCOMES] = {
        [LINGER_HIT] = { "Hits", "waited, and the next request came" },
        [LINGER_LAST] = { "Last", "waited, and a last request came while the process stopped" },
        [LINGER_MISS] = { "Misses", "waited, and nothing came" },
        [LINGER_CLOSED] = { "Closed", "waited, and the client closed the connection" },
        [LINGER_SKIP_LATE] = { "SkippedLate", "did not wait: its last requests came late" },
        [LINGER_SKIP_THREADS] = { "SkippedThreads",
                                  "did not wait: too few idle threads, or too many connections" },
        [LINGER_SKIP_CAP] = { "SkippedCap", "did not wait: enough requests in a row" },
        [LINGER_SKIP_OUTPUT] = { "SkippedOutput",
                                 "did not wait: the client has yet to take the answer" },
    };
    int i;

    if (!count_shm) {
        return DECLINED;
    }
    if (!(flags & AP_STATUS_SHORT)) {
        ap_rputs("<hr />\n<h2>Usher: keep-alive connections after an answer</h2>\n<table>\n", r);
    }
    for (i = 0; i < LINGER_OUTCOMES; ++i) {
        ap_rprintf(r, flags & AP_STATUS_SHORT
                   ? "UsherLinger%s: %" APR_UINT64_T_FMT "\n"
                   : "<tr><td>%s</td><td>%" APR_UINT64_T_FMT "</td></tr>\n",
                   flags & AP_STATUS_SHORT ? shown[i].name : shown[i].text, count_sum(i));
    }
    if (!(flags & AP_STATUS_SHORT)) {
        ap_rputs("</table>\n", r);
    }
    return OK;
}
