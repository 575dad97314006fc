/* Saves and loads an expiry with the machine's clocks, for t/unit/timens.t:
 * expirytool save SECONDS    prints the record
 * expirytool load RECORD     prints the seconds left */
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usher_expiry.h"

int main(int argc, char **argv)
{
    const usher_clock_t *clock = usher_clock_system();
    usher_expiry_t expiry;
    char text[USHER_EXPIRY_SIZE];

    if (argc == 3 && !strcmp(argv[1], "save")) {
        usher_expiry_save(&expiry, clock,
                          clock->boot_now() + apr_time_from_sec(apr_atoi64(argv[2])));
        puts(usher_expiry_format(text, &expiry));
        return EXIT_SUCCESS;
    }
    if (argc == 3 && !strcmp(argv[1], "load")
        && usher_expiry_parse(&expiry, argv[2], strlen(argv[2])) == APR_SUCCESS) {
        printf("%.3f\n", (double)(usher_expiry_load(&expiry, clock) - clock->boot_now()) / 1e6);
        return EXIT_SUCCESS;
    }
    return EXIT_FAILURE;
}
