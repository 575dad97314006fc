/* usherctl register-key: a new key for a server that signs itself in. */
#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "usher_base64.h"
#include "usher_regkeys.h"
#include "usher_secret.h"
#include "usherctl.h"

static const char help[] =
    "usage: usherctl register-key [--group GROUP] FILE KEYID POLICY\n"
    "\n"
    "Adds a key to the file that UsherRegisterKeys names, and prints the lines for\n"
    "the configuration of usher-member on the server that shall have it: they are\n"
    "secret. FILE is made where it is not there, for its owner alone.\n"
    "\n"
    "    KEYID    1 to 63 of A-Z a-z 0-9 . _ -, not yet in the file\n"
    "    POLICY   the name of a UsherRegisterPolicy\n"
    "\n"
    "    -g, --group GROUP   this group may read a new file as well\n"
    "    -h, --help          this text\n"
    "\n"
    "Exit code: 0 done, 1 the file is as it was, 2 wrong usage. docs/usherctl.md\n"
    "tells more.\n";

static const apr_getopt_option_t options[] = {
    { "group", 'g', 1, NULL },
    { "help", 'h', 0, NULL },
    { NULL, 0, 0, NULL },
};

#define SECRET_SIZE 32
/* In base64 with its padding: 32 bytes leave one character over. */
#define SECRET_TEXT_SIZE (USHER_BASE64_SIZE(SECRET_SIZE) + 2)
#define ROOM (USHER_REGKEYS_FILE_MAX + 1024)

typedef struct {
    apr_pool_t *p;
    const char *path;
    const char *id;
    const char *policy;
    gid_t group;      /* of a new file; -1: nobody */
    int is_new;
    struct stat info; /* as it was read */
    char *bytes;
    apr_size_t len;
    char secret[SECRET_TEXT_SIZE];
} key_file_t;

static int key_fails(const key_file_t *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int key_fails(const key_file_t *file, const char *format, ...)
{
    va_list args;
    const char *what;

    va_start(args, format);
    what = apr_pvsprintf(file->p, format, args);
    va_end(args);
    fprintf(stderr, "usherctl register-key: %s: %s\n", ctl_harmless(file->p, file->path),
            ctl_harmless(file->p, what));
    return CTL_FAILED;
}

static int key_read(key_file_t *file)
{
    char *real = realpath(file->path, NULL);
    usher_secret_user_t owner;
    const char *why;

    if (!real) {
        static const char head[] = "# Keys of registration: id, secret, policy.\n"
                                   "# Secret. See: usherctl register-key --help\n";

        file->is_new = 1;
        memcpy(file->bytes, head, sizeof(head) - 1);
        file->len = sizeof(head) - 1;
        return errno == ENOENT ? CTL_DONE : key_fails(file, "%s", strerror(errno));
    }
    file->path = apr_pstrdup(file->p, real);
    free(real);
    if (stat(file->path, &file->info) != 0) {
        return key_fails(file, "%s", strerror(errno));
    }
    /* Whom httpd runs as is not known here: owner and group may be anybody. */
    owner.uid = file->info.st_uid;
    owner.gid = file->info.st_gid;
    file->len = USHER_REGKEYS_FILE_MAX;
    why = usher_secret_read(file->p, file->bytes, &file->len, &file->info, file->path, &owner);
    return why ? key_fails(file, "%s", why) : CTL_DONE;
}

static int key_make(key_file_t *file)
{
    unsigned char bytes[SECRET_SIZE];
    char *at;

    if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1) {
        return key_fails(file, "the system gives no random bytes");
    }
    usher_base64_encode(file->secret, bytes, sizeof(bytes));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    for (at = file->secret; *at; ++at) { /* as other programs read it */
        *at = (char)(*at == '-' ? '+' : *at == '_' ? '/' : *at);
    }
    *at = '=';
    return CTL_DONE;
}

/* Adds the line, and reads all as httpd will. */
static int key_add(key_file_t *file)
{
    usher_regkeys_error_t error;
    usher_regkey_t *keys;
    apr_size_t count, room;

    if (file->len && file->bytes[file->len - 1] != '\n') {
        file->bytes[file->len++] = '\n';
    }
    file->len += (apr_size_t)snprintf(file->bytes + file->len, ROOM - file->len, "%s %s %s\n", file->id,
                                      file->secret, file->policy);
    room = usher_regkeys_room(file->bytes, file->len);
    keys = apr_pcalloc(file->p, room * sizeof(*keys));
    count = usher_regkeys_parse(keys, &error, file->bytes, file->len);
    OPENSSL_cleanse(keys, room * sizeof(*keys));
    if (count) {
        return CTL_DONE;
    }
    return error.line ? key_fails(file, "line %d: %s", error.line, error.reason)
                      : key_fails(file, "%s", error.reason);
}

/* Owner, group and mode of the file that it takes the place of. */
static int key_own(int fd, const key_file_t *file)
{
    if (file->is_new) {
        return file->group == (gid_t)-1 || (!fchown(fd, (uid_t)-1, file->group) && !fchmod(fd, 0640));
    }
    return !fchown(fd, file->info.st_uid, file->info.st_gid) && !fchmod(fd, file->info.st_mode & 07777);
}

/* Whether nobody has changed it meanwhile. */
static int key_is_same(const key_file_t *file)
{
    struct stat now;
    int there = stat(file->path, &now) == 0;

    errno = EAGAIN;
    return file->is_new ? !there : there && usher_secret_is_same(&now, &file->info);
}

/* Written beside it, and put in its place: whoever opens it sees the old or the new one. */
static int key_write(key_file_t *file)
{
    char *name = apr_pstrcat(file->p, file->path, ".XXXXXX", NULL);
    int fd = mkstemp(name);

    if (fd < 0 || !key_own(fd, file) || !ctl_write_all(fd, file->bytes, file->len) || !key_is_same(file)
        || rename(name, file->path)) {
        int error = errno;

        if (fd >= 0) {
            close(fd);
            unlink(name);
        }
        return key_fails(file, "cannot be written: %s; nothing was changed",
                         error == EAGAIN ? "somebody else has changed it just now" : strerror(error));
    }
    close(fd);
    return ctl_sync_folder(file->p, file->path)
               ? CTL_DONE : key_fails(file, "was written, but its folder not synced");
}

static int key_run_file(key_file_t *file)
{
    int code = key_read(file);

    if (code == CTL_DONE && (code = key_make(file)) == CTL_DONE && (code = key_add(file)) == CTL_DONE
        && (code = key_write(file)) == CTL_DONE) {
        printf("KEY_ID=%s\nKEY=%s\n", file->id, file->secret);
    }
    return code;
}

/* --group is the only one. */
static void key_option(void *baton, int letter, const char *value)
{
    *(const char **)baton = value;
}

/* CTL_DONE: --help; -1: go on */
static int key_options(key_file_t *file, int argc, const char *const *argv)
{
    const char *group = NULL;
    int code = ctl_options(file->p, &ctl_register_key, options, key_option, &group, &argc, &argv);

    if (code == CTL_DONE) {
        return code;
    }
    if (code == CTL_USAGE || argc != 3) {
        fputs(help, stderr);
        return CTL_USAGE;
    }
    file->path = argv[0];
    file->id = argv[1];
    file->policy = argv[2];
    if (group) {
        const struct group *found = getgrnam(group);

        if (!found) {
            return key_fails(file, "there is no group \"%s\"", group);
        }
        file->group = found->gr_gid;
    }
    return -1;
}

static int key_run(apr_pool_t *p, int argc, const char *const *argv)
{
    key_file_t file = { .p = p, .group = (gid_t)-1 };
    int code = key_options(&file, argc, argv);

    if (code >= 0) {
        return code;
    }
    if (!usher_regkeys_is_name(file.id, strlen(file.id)) || !usher_regkeys_is_name(file.policy, strlen(file.policy))) {
        return key_fails(&file, "an id, and a policy's name, are 1 to 63 of A-Z a-z 0-9 . _ -");
    }
    file.bytes = apr_pcalloc(p, ROOM);
    code = key_run_file(&file);
    OPENSSL_cleanse(file.bytes, ROOM);
    OPENSSL_cleanse(file.secret, sizeof(file.secret));
    return code;
}

const ctl_command_t ctl_register_key = {
    .name = "register-key",
    .summary = "makes a key for a server that signs itself in",
    .help = help,
    .run = key_run,
};
