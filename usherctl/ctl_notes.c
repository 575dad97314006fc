/* What is told on stderr of the files that were read. */
#include <stdarg.h>
#include <stdio.h>

#include "usherctl.h"

/* Who reads more than this has the wrong file. */
#define CTL_NOTES_MAX 1000

ctl_notes_t *ctl_notes_make(apr_pool_t *p)
{
    ctl_notes_t *notes = apr_palloc(p, sizeof(*notes));

    notes->pool = p;
    notes->notes = apr_array_make(p, 8, sizeof(const char *));
    notes->errors = apr_array_make(p, 8, sizeof(const char *));
    return notes;
}

const char *ctl_harmless(apr_pool_t *p, const char *text)
{
    char *copy = apr_pstrdup(p, text), *c;
    int more = 0; /* bytes of a character of UTF-8 that are to come; of U+0080 to U+00BF none */

    for (c = copy; *c; ++c) {
        unsigned char byte = (unsigned char)*c;
        int goes_on = more && (byte & 0xc0) == 0x80;

        more = goes_on ? more - 1 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte > 0xc2;
        if (byte < ' ' || (byte >= 0x7f && byte < 0xa0 && !goes_on)) {
            *c = '?';
        }
    }
    return copy;
}

static void notes_add(apr_pool_t *p, apr_array_header_t *list, const ctl_place_t *at,
                      const char *format, va_list args)
{
    const char *text;

    if (list->nelts >= CTL_NOTES_MAX) {
        return;
    }
    text = ctl_harmless(p, apr_pvsprintf(p, format, args));
    if (at && at->line) {
        text = apr_psprintf(p, "%s:%d: %s", ctl_harmless(p, at->file), at->line, text);
    }
    else if (at) {
        text = apr_psprintf(p, "%s: %s", ctl_harmless(p, at->file), text);
    }
    APR_ARRAY_PUSH(list, const char *) = text;
}

void ctl_note(ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    notes_add(notes->pool, notes->notes, at, format, args);
    va_end(args);
}

void ctl_error(ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    notes_add(notes->pool, notes->errors, at, format, args);
    va_end(args);
}

void ctl_notes_show(const ctl_notes_t *notes)
{
    const apr_array_header_t *list = notes->errors->nelts ? notes->errors : notes->notes;
    const char *what = notes->errors->nelts ? "error: " : "";
    int i;

    for (i = 0; i < list->nelts; ++i) {
        fprintf(stderr, "usherctl: %s%s\n", what, APR_ARRAY_IDX(list, i, const char *));
    }
    if (list->nelts >= CTL_NOTES_MAX) {
        fputs("usherctl: and more\n", stderr);
    }
}
