/**
 * @file  ctl_read.h
 * @brief The lines of large files, compressed ones too, and of standard input.
 *
 * One thread per reader. Nothing is allocated after it is opened, however long the lines.
 */
#ifndef CTL_READ_H
#define CTL_READ_H

#include <apr_pools.h>

/** A line that is longer is told as its first bytes, and that it is long. What httpd can
 *  write of one request at its default limits is less, also with each byte as \xNN. */
#define CTL_READ_LINE_MAX (256 * 1024)

typedef enum {
    CTL_READ_END,
    CTL_READ_LINE,
    CTL_READ_LONG,  /**< the line is its first CTL_READ_LINE_MAX bytes */
    CTL_READ_FAILED /**< ctl_read_why() tells; nothing can be read after it */
} ctl_read_e;

typedef struct ctl_read_t ctl_read_t;

/**
 * Open a file. Whether it is compressed (gzip) its first bytes tell, not its name.
 * @param p     it is closed with it, at the latest
 * @param name  "-" is standard input
 * @param why   gets a phrase where it cannot be opened
 * @return NULL: it cannot
 */
ctl_read_t *ctl_read_open(apr_pool_t *p, const char *name, const char **why);

/**
 * The next line, without its LF or CR LF; the last one of a file need have none.
 * @param line  gets it: not NUL-terminated, valid until the next call
 */
ctl_read_e ctl_read_line(ctl_read_t *reader, const char **line, apr_size_t *len);

/** Lines told so far. */
apr_uint64_t ctl_read_number(const ctl_read_t *reader);
/** The program that has to uncompress a file, by its first bytes; NULL: none. Of gzip's there
 *  are none: they are uncompressed here. */
const char *ctl_read_packed_by(const char *bytes, apr_size_t len);
/** Why it failed. */
const char *ctl_read_why(const ctl_read_t *reader);

/** Ends it early, or after its end; its memory goes with the pool. */
void ctl_read_close(ctl_read_t *reader);

#endif /* CTL_READ_H */
