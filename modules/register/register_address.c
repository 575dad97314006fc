/* Addresses that are none for a member, or only where a policy says so: what belongs to no other machine,
 * and what httpd itself listens on, as requests would go round in circles. */
#include "register_auth.h"

#include <ap_listen.h>
#include <ifaddrs.h>
#include <netinet/in.h>

/* An address and port that httpd listens on. */
typedef struct {
    usher_cidr_address_t address; /* 0: any of this machine */
    apr_port_t port;
} address_listener_t;

static apr_array_header_t *listeners; /* in pconf */

static const struct {
    const char *what;
    const char *prefix;
} specials[] = {
    { "a loopback address", "127.0.0.0/8" },
    { "a loopback address", "::1" },
    { "a link-local address", "169.254.0.0/16" },
    { "a link-local address", "fe80::/10" },
}, nevers[] = {
    { "it means no machine", "0.0.0.0/8" },
    { "it means no machine", "::" },
    { "it is a multicast address", "224.0.0.0/4" },
    { "it is a multicast address", "ff00::/8" },
    { "it is reserved", "240.0.0.0/4" },
    { "it is an obsolete form of an IPv4 address", "::/96" },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int address_is_in(usher_cidr_address_t address, const char *prefix)
{
    usher_cidr_range_t range;

    return usher_cidr_parse(&range, prefix, strlen(prefix)) && usher_cidr_range_has(&range, address);
}

const char *register_address_special(usher_cidr_address_t address)
{
    apr_size_t i;

    for (i = 0; i < COUNT(specials); ++i) {
        if (address_is_in(address, specials[i].prefix)) {
            return specials[i].what;
        }
    }
    return NULL;
}

int register_address_is_special_range(const usher_cidr_range_t *range)
{
    usher_cidr_range_t special;
    apr_size_t i;

    for (i = 0; i < COUNT(specials); ++i) {
        if (usher_cidr_parse(&special, specials[i].prefix, strlen(specials[i].prefix))
            && usher_cidr_range_holds(&special, range)) {
            return 1;
        }
    }
    return 0;
}

int register_address_is_loopback(usher_cidr_address_t address)
{
    return address_is_in(address, specials[0].prefix) || address_is_in(address, specials[1].prefix);
}

void register_address_learn(apr_pool_t *pconf)
{
    ap_listen_rec *listener;

    listeners = apr_array_make(pconf, 8, sizeof(address_listener_t));
    for (listener = ap_listeners; listener; listener = listener->next) {
        apr_sockaddr_t *bound = listener->bind_addr;
        address_listener_t one;

        if (bound->family != APR_INET && bound->family != APR_INET6) {
            continue;
        }
        one.address = register_auth_address(bound);
        one.port = bound->port;
        if (address_is_in(one.address, "0.0.0.0")) {
            one.address = (usher_cidr_address_t) { 0, 0 };
        }
        APR_ARRAY_PUSH(listeners, address_listener_t) = one;
    }
}

/* Interfaces come and go, so they are asked for each time. */
static int address_is_mine(usher_cidr_address_t address)
{
    struct ifaddrs *all, *one;
    int mine = 0;

    if (register_address_is_loopback(address)) {
        return 1;
    }
    if (getifaddrs(&all) != 0) {
        return 0;
    }
    for (one = all; one && !mine; one = one->ifa_next) {
        int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
        usher_cidr_address_t its;

        if (family != AF_INET && family != AF_INET6) {
            continue;
        }
        its = family == AF_INET
            ? usher_cidr_address(&((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr, 4)
            : usher_cidr_address(&((struct sockaddr_in6 *)(void *)one->ifa_addr)->sin6_addr, 16);
        mine = its.high == address.high && its.low == address.low;
    }
    freeifaddrs(all);
    return mine;
}

static int address_is_listener(usher_cidr_address_t address, apr_port_t port)
{
    int i;

    for (i = 0; i < listeners->nelts; ++i) {
        const address_listener_t *one = &APR_ARRAY_IDX(listeners, i, address_listener_t);
        int any = !one->address.high && !one->address.low;

        if (one->port == port
            && (any ? address_is_mine(address)
                    : one->address.high == address.high && one->address.low == address.low)) {
            return 1;
        }
    }
    return 0;
}

const char *register_address_why_never(usher_cidr_address_t address, apr_port_t port)
{
    apr_size_t i;

    if (address_is_listener(address, port)) {
        return "httpd itself listens there";
    }
    for (i = 0; i < COUNT(nevers); ++i) {
        if (address_is_in(address, nevers[i].prefix) && !register_address_is_loopback(address)) {
            return nevers[i].what;
        }
    }
    return NULL;
}
