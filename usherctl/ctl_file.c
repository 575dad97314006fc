/* Reading a file of text that somebody else has written. */
#include <apr_file_io.h>
#include <string.h>

#include "usherctl.h"

/* A workers.properties of a thousand servers has 100 KB. */
#define CTL_FILE_MAX (1024 * 1024)

static const char *file_status(apr_status_t rv)
{
    static char text[128];

    return apr_strerror(rv, text, sizeof(text));
}

/* Bytes are read, not the size that the file says: it may be a pipe. */
static apr_status_t file_bytes(apr_file_t *file, char *bytes, apr_size_t *len)
{
    apr_size_t room = *len;
    apr_status_t rv = APR_SUCCESS;

    for (*len = 0; rv == APR_SUCCESS && *len < room;) {
        apr_size_t some = room - *len;

        rv = apr_file_read(file, bytes + *len, &some);
        *len += rv == APR_SUCCESS ? some : 0;
    }
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

static const char *file_text(ctl_notes_t *notes, const ctl_place_t *at, char *bytes,
                             apr_size_t len)
{
    if (len > CTL_FILE_MAX) {
        ctl_error(notes, at, "more than %d bytes: is this the right file?", CTL_FILE_MAX);
        return NULL;
    }
    if (memchr(bytes, 0, len)) {
        ctl_error(notes, at, "not a file of text: there are zero bytes in it");
        return NULL;
    }
    bytes[len] = '\0';
    /* What some editors put before the first line */
    return strncmp(bytes, "\xef\xbb\xbf", 3) ? bytes : bytes + 3;
}

const char *ctl_file_read(apr_pool_t *p, ctl_notes_t *notes, const char *name)
{
    ctl_place_t at = { name, 0 };
    apr_size_t len = CTL_FILE_MAX + 1;
    char *bytes = apr_palloc(p, CTL_FILE_MAX + 2);
    apr_finfo_t info;
    apr_file_t *file;
    apr_status_t rv;

    rv = apr_stat(&info, name, APR_FINFO_TYPE, p);
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        ctl_error(notes, &at, "%s", file_status(rv));
        return NULL;
    }
    if (info.filetype == APR_DIR) {
        ctl_error(notes, &at, "is a directory");
        return NULL;
    }
    rv = apr_file_open(&file, name, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        rv = file_bytes(file, bytes, &len);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        ctl_error(notes, &at, "%s", file_status(rv));
        return NULL;
    }
    return file_text(notes, &at, bytes, len);
}
