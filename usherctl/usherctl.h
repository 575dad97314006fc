/**
 * @file  usherctl.h
 * @brief What the parts of usherctl share: its subcommands, and how they tell
 *        of what they read and print.
 */
#ifndef USHERCTL_H
#define USHERCTL_H

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <apr_tables.h>

/** Exit codes */
#define CTL_DONE   0
#define CTL_FAILED 1
#define CTL_USAGE  2

/** A subcommand. Its arguments begin behind its name. */
typedef struct {
    const char *name;
    const char *summary; /**< one line for `usherctl --help' */
    const char *help;    /**< the whole text of its own --help */
    int (*run)(apr_pool_t *p, int argc, const char *const *argv);
} ctl_command_t;

extern const ctl_command_t ctl_bans;
extern const ctl_command_t ctl_from_jk;
extern const ctl_command_t ctl_keys;
extern const ctl_command_t ctl_log;
extern const ctl_command_t ctl_members;
extern const ctl_command_t ctl_register_key;
extern const ctl_command_t ctl_tls;

/** Where something was read. */
typedef struct {
    const char *file;
    int line; /**< 0: of the whole file */
} ctl_place_t;

/** What is told of the input: notes for people to decide on, and errors, after
 *  which nothing is printed. */
typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *notes; /**< const char *, in the order they came */
    apr_array_header_t *errors;
} ctl_notes_t;

ctl_notes_t *ctl_notes_make(apr_pool_t *p);
void ctl_note(ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ctl_error(ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Writes all of them to stderr: errors only where there are any. */
void ctl_notes_show(const ctl_notes_t *notes);

/** The same text with whatever a terminal or a configuration could take for
 *  more than text made harmless: control characters become '?', those of UTF-8
 *  (U+0080 to U+009F) and Latin-1, too. */
const char *ctl_harmless(apr_pool_t *p, const char *text);

/**
 * Read a file of text as a whole.
 * @return NULL after an error was noted: missing, a directory, too large, binary
 */
const char *ctl_file_read(apr_pool_t *p, ctl_notes_t *notes, const char *name);

/* ctl_write.c */

/** Write all bytes and sync them. @return 1; 0: errno tells why not */
int ctl_write_all(int fd, const char *bytes, apr_size_t len);
/** A new file's name is safe when its folder is. @param path  of the file @return 1; 0: errno */
int ctl_sync_folder(apr_pool_t *p, const char *path);

/** The lines of a text, those that end in a backslash joined with the next. */
typedef struct {
    apr_pool_t *pool;
    const char *text;
    apr_size_t len;
    apr_size_t at; /**< how far it is read */
    int number;    /**< of the last line read */
    int first;     /**< of the first one that was joined to it */
    int joined;
    int careful;   /**< join only what cannot be lines of their own: a comment,
                        and a path of Windows, may end in a backslash, too */
} ctl_lines_t;

#define CTL_LINE_MAX 8192

typedef enum {
    CTL_LINES_END,
    CTL_LINES_LINE,
    CTL_LINES_LONG,   /**< more than CTL_LINE_MAX bytes */
    CTL_LINES_CONTROL /**< with a control character in it */
} ctl_lines_e;

void ctl_lines_init(ctl_lines_t *lines, apr_pool_t *p, const char *text, apr_size_t len);
/** The next line, without blanks around it. After LONG and CONTROL the lines
 *  behind it can be read on. */
ctl_lines_e ctl_lines_next(ctl_lines_t *lines, char **line);

/** Cuts off blanks on both sides, in place. */
char *ctl_trim(char *text);
/** The next word of a line of httpd's configuration, quotes taken off. */
char *ctl_word(apr_pool_t *p, const char **line);

/** A configuration that is being written. */
typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *pieces; /**< const char * */
    int indent;
} ctl_conf_t;

ctl_conf_t *ctl_conf_make(apr_pool_t *p);
/** One line. Whatever comes from a file has to go through ctl_conf_quote(). */
void ctl_conf_line(ctl_conf_t *conf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** One line behind a '#', whatever is in it. */
void ctl_conf_comment(ctl_conf_t *conf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** One word for httpd's configuration, in quotes where it needs them. */
const char *ctl_conf_quote(apr_pool_t *p, const char *word);
/** Why a text cannot stand in a configuration at all; NULL where it can. */
const char *ctl_conf_refuses(const char *text);
/** Writes it to stdout; whether that went well. */
int ctl_conf_show(const ctl_conf_t *conf);

#endif /* USHERCTL_H */
