/* workers.properties as mod_jk reads it: name=value, $(variables), comments
 * from '#' to the end of the line. */
#include <apr_env.h>
#include <string.h>

#include "jk.h"

#define JK_PROPERTIES_MAX 20000
/* Values can name each other, and lists be given again and again. */
#define JK_PROPERTIES_MADE_MAX (8 * 1024 * 1024)

jk_properties_t *jk_properties_make(apr_pool_t *p, ctl_notes_t *notes)
{
    jk_properties_t *props = apr_palloc(p, sizeof(*props));

    props->pool = p;
    props->notes = notes;
    props->by_name = apr_hash_make(p);
    props->list = apr_array_make(p, 32, sizeof(jk_property_t *));
    props->made = 0;
    return props;
}

jk_property_t *jk_properties_get(const jk_properties_t *props, const char *name)
{
    return apr_hash_get(props->by_name, name, APR_HASH_KEY_STRING);
}

int jk_line_split(char *line, char **name, char **value)
{
    char *end = strchr(line, '#');

    if (end) {
        *end = '\0';
    }
    *name = ctl_trim(line);
    if (!**name) {
        return 0;
    }
    end = strchr(*name, '=');
    if (!end) {
        return -1;
    }
    *end = '\0';
    *value = ctl_trim(end + 1);
    *name = ctl_trim(*name);
    return **name && **value;
}

/* The value of a variable: of one above it in the file, or of the environment. */
static const char *properties_variable(jk_properties_t *props, const ctl_place_t *at,
                                       const char *name)
{
    const jk_property_t *property = jk_properties_get(props, name);
    char *value = NULL;

    if (property) {
        return property->value;
    }
    if (apr_env_get(&value, name, props->pool) == APR_SUCCESS) {
        ctl_note(props->notes, at, "$(%s) is not in the file above: taken from the environment",
                 name);
        return value;
    }
    ctl_error(props->notes, at, "$(%s) is neither in the file above nor in the environment", name);
    return "";
}

/* Whether a value may become that long, put together from others. */
static int properties_room(jk_properties_t *props, const ctl_place_t *at, apr_size_t len)
{
    props->made += len;
    if (len <= CTL_LINE_MAX && props->made <= JK_PROPERTIES_MADE_MAX) {
        return 1;
    }
    ctl_error(props->notes, at, "the value becomes too long");
    return 0;
}

static const char *properties_expand(jk_properties_t *props, const ctl_place_t *at,
                                     const char *value)
{
    apr_array_header_t *pieces = apr_array_make(props->pool, 4, sizeof(const char *));
    const char *from, *open, *close;
    apr_size_t len = 0;

    for (from = value; (open = strstr(from, "$(")) != NULL; from = close + 1) {
        close = strchr(open, ')');
        if (!close) {
            ctl_error(props->notes, at, "\"$(\" without its \")\"");
            return "";
        }
        APR_ARRAY_PUSH(pieces, const char *)
            = apr_pstrmemdup(props->pool, from, (apr_size_t)(open - from));
        APR_ARRAY_PUSH(pieces, const char *) = properties_variable(
            props, at, apr_pstrmemdup(props->pool, open + 2, (apr_size_t)(close - open - 2)));
        len += strlen(APR_ARRAY_IDX(pieces, pieces->nelts - 1, const char *));
        if (len > CTL_LINE_MAX) {
            break;
        }
    }
    if (!pieces->nelts) {
        return value;
    }
    APR_ARRAY_PUSH(pieces, const char *) = from;
    return properties_room(props, at, len + strlen(value)) ? apr_array_pstrcat(props->pool, pieces, 0)
                                                           : "";
}

/* mod_jk takes the last one of two, but joins lists. */
static void properties_again(jk_properties_t *props, jk_property_t *old, const char *value,
                             const ctl_place_t *at)
{
    const char *last = strrchr(old->name, '.');
    const jk_key_t *key = last ? jk_key_find(last + 1) : NULL;

    if ((key && key->kind == JK_LIST) || !strcmp(old->name, "worker.list")) {
        if (properties_room(props, at, strlen(old->value) + strlen(value))) {
            old->value = apr_pstrcat(props->pool, old->value, ",", value, NULL);
        }
        return;
    }
    if (strcmp(old->value, value)) {
        ctl_note(props->notes, at, "%s was given in line %d already: the later one counts",
                 old->name, old->at.line);
    }
    old->value = value;
    old->at = *at;
}

/* Names of workers become names in a configuration. */
static int properties_named_well(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "_-.";

    return strlen(name) < 256 && strspn(name, good) == strlen(name);
}

/* Tabs between words are as good as blanks. */
static char *properties_blanks(char *text)
{
    char *c;

    for (c = text; (c = strpbrk(c, "\t\r\f\v")) != NULL; ++c) {
        *c = ' ';
    }
    return text;
}

static void properties_add(jk_properties_t *props, const ctl_place_t *at, const char *name,
                           const char *value)
{
    jk_property_t *property = jk_properties_get(props, name);
    const char *refused = ctl_conf_refuses(value);

    if (refused) {
        ctl_error(props->notes, at, "the value of %s %s", name, refused);
        return;
    }
    if (!strncmp(name, "worker.", 7) && !properties_named_well(name)) {
        ctl_error(props->notes, at,
                  "the name %s has something else in it than letters, digits, '_', '-' and dots",
                  name);
        return;
    }
    if (property) {
        properties_again(props, property, value, at);
        return;
    }
    if (props->list->nelts >= JK_PROPERTIES_MAX) {
        ctl_error(props->notes, at, "more than %d properties", JK_PROPERTIES_MAX);
        return;
    }
    property = apr_pcalloc(props->pool, sizeof(*property));
    property->name = name;
    property->value = value;
    property->at = *at;
    apr_hash_set(props->by_name, name, APR_HASH_KEY_STRING, property);
    APR_ARRAY_PUSH(props->list, jk_property_t *) = property;
}

void jk_properties_line(jk_properties_t *props, const ctl_place_t *at, char *line)
{
    char *name, *value;

    switch (jk_line_split(line, &name, &value)) {
    case 1:
        properties_blanks(value);
        properties_add(props, at, name, properties_expand(props, at, value));
        break;
    case -1:
        ctl_error(props->notes, at, "neither a comment nor name=value: %.60s", name);
        break;
    default:
        break;
    }
}

void jk_properties_read(jk_properties_t *props, const char *file, const char *text, apr_size_t len)
{
    ctl_place_t at = { file, 0 };
    ctl_lines_t lines;
    ctl_lines_e result;
    char *line;

    ctl_lines_init(&lines, props->pool, text, len);
    lines.careful = 1;
    while ((result = ctl_lines_next(&lines, &line)) != CTL_LINES_END) {
        at.line = lines.first;
        if (result == CTL_LINES_LONG) {
            ctl_error(props->notes, &at, "a line of more than %d bytes", CTL_LINE_MAX);
        }
        else if (result == CTL_LINES_CONTROL) {
            ctl_error(props->notes, &at, "a line with a control character in it");
        }
        else {
            if (lines.joined) {
                ctl_note(props->notes, &at,
                         "mod_jk does not join lines at a backslash; here they are joined");
            }
            jk_properties_line(props, &at, line);
        }
    }
}
