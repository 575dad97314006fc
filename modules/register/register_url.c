/* The URL of a member, byte by byte: nothing that could mean one thing here and another one
 * to who connects. */
#include "register_url.h"

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

#include "usher_number.h"
#include "usher_roster.h"

static const struct {
    const char *name;
    apr_port_t port;
} schemes[] = {
    { "ajp", 8009 }, { "http", 80 }, { "https", 443 }, { "ws", 80 }, { "wss", 443 },
};

/* @return how much of the text it was; 0: it is none of ours */
static apr_size_t url_scheme(register_url_t *url, const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i) {
        apr_size_t size = strlen(schemes[i].name);

        if (len >= size + 3 && !apr_cstr_casecmpn(text, schemes[i].name, size)
            && !memcmp(text + size, "://", 3)) {
            memcpy(url->scheme, schemes[i].name, size + 1);
            url->port = schemes[i].port;
            return size + 3;
        }
    }
    return 0;
}

static int url_is_digits(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len && apr_isdigit(text[i]); ++i) {
    }
    return i == len;
}

/* Letters, digits, '-' and '_' between dots. A name whose last part is a number is taken for an
 * address by some ("127.1", "0x7f.1", "2130706433"): it must be one in its usual form. */
static int url_name(register_url_t *url, const char *text, apr_size_t len)
{
    apr_size_t i, part = 0;
    struct in_addr address;

    for (i = 0; i < len; ++i) {
        url->host[i] = (char)apr_tolower(text[i]);
        if (text[i] == '.') {
            if (i == part) {
                return 0;
            }
            part = i + 1;
        }
        else if (!apr_isalnum(text[i]) && text[i] != '-' && text[i] != '_') {
            return 0;
        }
    }
    url->host[len] = '\0';
    if (part >= len || text[part] == '-') {
        return 0;
    }
    return (!url_is_digits(text + part, len - part) && strncmp(url->host + part, "0x", 2) != 0)
           || inet_pton(AF_INET, url->host, &address) == 1;
}

/* Always in the same form. No zone: what it means is known to one machine only. */
static int url_ipv6(register_url_t *url, const char *text, apr_size_t len)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (len >= sizeof(copy) || memchr(text, '\0', len)) {
        return 0;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1
           && inet_ntop(AF_INET6, &address, url->host, sizeof(url->host));
}

static const char *url_port(register_url_t *url, const char *text, apr_size_t len)
{
    apr_uint64_t port = 0;

    if (len && (usher_number_parse(&port, 65535, text, len) != len || !port)) {
        return "its port is a number from 1 to 65535";
    }
    if (len) {
        url->port = (apr_port_t)port;
    }
    return NULL;
}

const char *register_url_parse(register_url_t *url, const char *text, apr_size_t len)
{
    apr_size_t size = url_scheme(url, text, len);
    const char *end;
    int known;

    if (!size) {
        return "it begins with ajp://, http://, https://, ws:// or wss://";
    }
    text += size;
    len -= size;
    if (len && text[len - 1] == '/') {
        --len;
    }
    end = len && *text == '[' ? memchr(text, ']', len) : memchr(text, ':', len);
    size = end ? (apr_size_t)(end - text) : len;
    if (len && *text == '[') {
        known = end && url_ipv6(url, text + 1, size - 1);
        ++size;
    }
    else {
        known = size && size <= REGISTER_HOST_MAX && url_name(url, text, size);
    }
    if (!known) {
        return "its host is a name or an address, IPv6 in brackets";
    }
    if (size < len && (text[size] != ':' || size + 1 == len)) {
        return "behind its host comes nothing but a port";
    }
    return size < len ? url_port(url, text + size + 1, len - size - 1) : NULL;
}

int register_url_format(char *to, apr_size_t size, const register_url_t *url)
{
    int is_ipv6 = strchr(url->host, ':') != NULL;
    int len = apr_snprintf(to, size, "%s://%s%s%s:%d", url->scheme, is_ipv6 ? "[" : "", url->host,
                           is_ipv6 ? "]" : "", url->port);

    return len > 0 && (apr_size_t)len < size - 1;
}

static int name_is(const char *text, apr_size_t len, apr_size_t size, const char *others)
{
    apr_size_t i;

    for (i = 0; i < len && text[i] && (apr_isalnum(text[i]) || strchr(others, text[i])); ++i) {
    }
    return len && i == len && len < size && strspn(text, ".") < len;
}

int register_name_is_cluster(const char *text, apr_size_t len)
{
    return name_is(text, len, USHER_ROSTER_CLUSTER_SIZE, "._~-:@");
}

int register_name_is_route(const char *text, apr_size_t len)
{
    return name_is(text, len, USHER_REGISTRY_ROUTE_SIZE, "._-");
}
