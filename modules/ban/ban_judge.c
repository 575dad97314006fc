/* What is to be done with an address. */
#include "ban_private.h"

usher_cidr_address_t ban_address(const apr_sockaddr_t *sockaddr)
{
    static const usher_cidr_address_t none = { 0, 0 };

    return sockaddr->ipaddr_len == 4 || sockaddr->ipaddr_len == 16
        ? usher_cidr_address(sockaddr->ipaddr_ptr, (apr_size_t)sockaddr->ipaddr_len) : none;
}

int ban_judge_is_idle(void)
{
    return ban_jail_is_empty() && !ban_lists_are_there() && !ban_geo_is_there();
}

/* Those who are never turned away aside: they are asked for last, as nearly nobody is found. */
static int judge_find(usher_cidr_address_t address, ban_verdict_t *verdict)
{
    verdict->ban.is_trial = 1; /* also where what was found is garbage */
    if (ban_jail_find(address, &verdict->ban) && !verdict->ban.is_trial) {
        verdict->kind = BAN_JAIL;
        verdict->name = verdict->ban.name;
        return 1;
    }
    verdict->kind = BAN_LIST;
    verdict->name = ban_lists_find(address);
    if (!verdict->name) {
        verdict->kind = BAN_GEO;
        verdict->name = ban_geo_find(address);
    }
    return verdict->name != NULL;
}

int ban_judge(usher_cidr_address_t address, ban_verdict_t *verdict)
{
    if (judge_find(address, verdict) && !ban_never_why(address)) {
        return 1;
    }
    verdict->kind = BAN_NOT;
    return 0;
}
