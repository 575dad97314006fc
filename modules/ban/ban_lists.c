/* UsherBanList, and files of prefixes that other directives name: each is an image of a set,
 * which all children look into, and which is made anew when the file is another one. */
#include <stdlib.h>

#include "ban_private.h"
#include "usher_cidr_list.h"

APLOG_USE_MODULE(usher_ban);

/* A look into each costs a part of a microsecond, for each connection. */
#define LISTS_MAX 32
/* A million prefixes of IPv6 have some 40 MB. */
#define FILE_SIZE_MAX ((apr_uint64_t)256 << 20)
/* Changes with usher_cidr_set_t, and with what a file may have. */
#define LAYOUT 1

struct ban_file_t {
    const char *name; /* of a list; NULL: not one */
    const char *directive, *path;
    int is_optional;
    usher_image_t *image;
};

static apr_array_header_t *lists; /* ban_file_t *, as the next two; in pconf */
static apr_array_header_t *files;

void ban_lists_init(apr_pool_t *pconf)
{
    lists = apr_array_make(pconf, 4, sizeof(ban_file_t *));
    files = apr_array_make(pconf, 4, sizeof(ban_file_t *));
}

/* --- the files */

static const char *lists_tell(const usher_cidr_wrong_t *wrong, apr_pool_t *ptemp)
{
    return apr_psprintf(ptemp, "line %" APR_SIZE_T_FMT ": \"%s\" is %s", wrong->line, wrong->text,
                        wrong->is_wide ? "more than a list may have at once: prefixes of IPv4 have at "
                                         "least " APR_STRINGIFY(USHER_CIDR_WIDE_V4) " bits there, of "
                                         "IPv6 " APR_STRINGIFY(USHER_CIDR_WIDE_V6)
                                       : "no address or prefix, as 192.0.2.7 or 192.0.2.0/24 with "
                                         "zeros behind its bits");
}

/* The set is made outside of the image: what overlapped is one then, and it has no room too much. */
static const char *lists_make_set(const char *bytes, apr_size_t len, usher_image_maker_t *maker,
                                  int refuses_wide, apr_pool_t *ptemp)
{
    usher_cidr_wrong_t wrong;
    apr_size_t count, size;
    usher_cidr_range_t *ranges;
    usher_cidr_set_t *set;
    void *room = NULL;

    if (!len) {
        return "it is empty, as after a failed download: a list of nobody has a comment line at least";
    }
    if (!usher_cidr_list_read(bytes, len, refuses_wide, NULL, &count, &wrong)) {
        return lists_tell(&wrong, ptemp);
    }
    ranges = malloc(count ? count * sizeof(*ranges) : 1);
    set = malloc(usher_cidr_set_size(count));
    if (ranges && set && usher_cidr_list_read(bytes, len, 0, ranges, &count, &wrong)) {
        usher_cidr_set_make(set, ranges, count);
        size = usher_cidr_set_size((apr_size_t)set->count);
        room = ban_core->image_room(maker, size, NULL);
        if (room) {
            memcpy(room, set, size);
        }
    }
    free(ranges);
    free(set);
    return room ? NULL : "there is no memory for it";
}

static const char *lists_make(const char *bytes, apr_size_t len, usher_image_maker_t *maker,
                              void *baton, apr_pool_t *ptemp)
{
    return lists_make_set(bytes, len, maker, 1, ptemp);
}

static const char *lists_make_other(const char *bytes, apr_size_t len, usher_image_maker_t *maker,
                                    void *baton, apr_pool_t *ptemp)
{
    return lists_make_set(bytes, len, maker, 0, ptemp);
}

/* It is read where it lies. */
static void *lists_open(const void *image, apr_size_t len, const char *path, void *baton)
{
    return usher_cidr_set_check(image, len) ? (void *)image : NULL;
}

static const usher_image_spec_t list_spec = {
    .what = "the list of bans", .size_max = FILE_SIZE_MAX, .layout = LAYOUT, .make = lists_make,
    .open = lists_open,
};

/* Whom not to ban, or who is a proxy, may be everybody. */
static const usher_image_spec_t file_spec = {
    .what = "the file of prefixes", .size_max = FILE_SIZE_MAX, .layout = LAYOUT,
    .make = lists_make_other, .open = lists_open,
};

/* --- directives */

/* @return NULL: *wrong says why */
static ban_file_t *lists_add(cmd_parms *cmd, const char *name, const char *path, const char **wrong)
{
    ban_file_t *file = apr_pcalloc(cmd->pool, sizeof(*file));

    file->name = name;
    file->directive = cmd->cmd->name;
    file->path = ap_server_root_relative(cmd->pool, path);
    if (!file->path) {
        *wrong = apr_psprintf(cmd->pool, "\"%s\": is no path", path);
        return NULL;
    }
    APR_ARRAY_PUSH(name ? lists : files, ban_file_t *) = file;
    return file;
}

const char *ban_lists_file(cmd_parms *cmd, const char *path, const ban_file_t **file)
{
    const char *wrong = NULL;

    *file = lists_add(cmd, NULL, path, &wrong);
    return wrong;
}

static const char *lists_refuse_name(cmd_parms *cmd, const char *name)
{
    apr_size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    int i;

    if (!*name || name[len] || len >= BAN_NAME_SIZE) {
        return apr_psprintf(cmd->pool, "\"%s\": a name has letters, digits, '-' and '_', at most %d",
                            name, BAN_NAME_SIZE - 1);
    }
    for (i = 0; i < lists->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(lists, i, const ban_file_t *)->name, name)) {
            return apr_psprintf(cmd->pool, "\"%s\": there is a list of that name already: take "
                                "another name", name);
        }
    }
    return i < LISTS_MAX ? NULL : apr_psprintf(cmd->pool, "\"%s\": there are %d lists already: put "
                                               "several into one file", name, i);
}

const char *ban_lists_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = NULL;
    ban_file_t *file = NULL;

    if (ap_check_cmd_context(cmd, GLOBAL_ONLY)) {
        wrong = "belongs outside of all sections";
    }
    else if (argc < 2 || argc > 3) {
        wrong = "takes a name and a file: drop /var/lib/usher-lists/drop.txt";
    }
    else if (argc == 3 && ap_cstr_casecmp(argv[2], "optional") != 0) {
        wrong = apr_psprintf(cmd->pool, "\"%s\": only \"optional\" may follow the file", argv[2]);
    }
    else {
        wrong = lists_refuse_name(cmd, argv[0]);
    }
    if (!wrong) {
        file = lists_add(cmd, apr_pstrdup(cmd->pool, argv[0]), argv[1], &wrong);
    }
    if (!file) {
        return usher_conf_refuse(cmd, wrong);
    }
    file->is_optional = argc == 3;
    return NULL;
}

static int lists_declare(const usher_image_spec_t *spec, ban_file_t *file, server_rec *s)
{
    const char *error;

    file->image = ban_core->image_declare(spec, file->path, NULL, s, &error);
    if (!error) {
        return OK;
    }
    if (!file->is_optional && usher_conf_may_refuse()) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(8060)
                     "%s: %s cannot be used: %s: mend the file%s", file->directive, file->path,
                     error, file->name ? ", or say \"optional\" behind it to start without" : "");
        return !OK;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8061)
                 "%s: %s cannot be used: %s: until there is a good one, all goes on without it",
                 file->directive, file->path, error);
    return OK;
}

int ban_lists_check_config(server_rec *s)
{
    int i, rc = OK;

    for (i = 0; i < lists->nelts; ++i) {
        if (lists_declare(&list_spec, APR_ARRAY_IDX(lists, i, ban_file_t *), s) != OK) {
            rc = !OK;
        }
    }
    for (i = 0; i < files->nelts; ++i) {
        if (lists_declare(&file_spec, APR_ARRAY_IDX(files, i, ban_file_t *), s) != OK) {
            rc = !OK;
        }
    }
    return rc;
}

/* --- looks */

int ban_lists_are_there(void)
{
    return lists->nelts > 0;
}

int ban_lists_file_has(const ban_file_t *file, usher_cidr_address_t address)
{
    usher_image_hold_t hold;
    const usher_cidr_set_t *set = file->image ? ban_core->image_begin(file->image, &hold) : NULL;
    int has = set && usher_cidr_set_has(set, address);

    if (set) {
        ban_core->image_end(file->image, &hold);
    }
    return has;
}

int ban_lists_file_meets(const ban_file_t *file, const ban_prefix_t *prefix)
{
    unsigned int bits = prefix->bits;
    usher_cidr_range_t range = { prefix->address, prefix->address };
    usher_image_hold_t hold;
    const usher_cidr_set_t *set = file->image ? ban_core->image_begin(file->image, &hold) : NULL;
    int meets;

    range.last.high |= bits < 64 ? APR_UINT64_MAX >> bits : 0;
    range.last.low |= bits <= 64 ? APR_UINT64_MAX : bits < 128 ? APR_UINT64_MAX >> (bits - 64) : 0;
    meets = set && usher_cidr_set_meets(set, &range);
    if (set) {
        ban_core->image_end(file->image, &hold);
    }
    return meets;
}

const char *ban_lists_find(usher_cidr_address_t address)
{
    int i;

    for (i = 0; i < lists->nelts; ++i) {
        const ban_file_t *list = APR_ARRAY_IDX(lists, i, const ban_file_t *);

        if (ban_lists_file_has(list, address)) {
            return list->name;
        }
    }
    return NULL;
}
