/* Codes of countries: those that stand for one, and what is meant by some that do not. */
#include "geo_country.h"

#include <string.h>

/* ISO 3166-1, alpha-2: the second letters of the codes that begin with A, with B, and so on. */
static const char *const second_letters[26] = {
    "DEFGILMOQRSTUWXZ",
    "ABDEFGHIJLMNOQRSTVWYZ",
    "ACDFGHIKLMNORUVWXYZ",
    "EJKMOZ",
    "CEGHRST",
    "IJKMOR",
    "ABDEFGHILMNPQRSTUWY",
    "KMNRTU",
    "DELMNOQRST",
    "EMOP",
    "EGHIMNPRWYZ",
    "ABCIKRSTUVY",
    "ACDEFGHKLMNOPQRSTUVWXYZ",
    "ACEFGILOPRUZ",
    "M",
    "AEFGHKLMNRSTWY",
    "A",
    "EOSUW",
    "ABCDEGHIJKLMNORSTVXYZ",
    "CDFGHJKLMNORTVWZ",
    "AGMSYZ",
    "ACEGINU",
    "FS",
    "",
    "ET",
    "AMW",
};

/* That ISO gives to nobody: XK, which databases have for Kosovo, and what others make of the rest. */
static int country_is_private(const char code[2])
{
    return !strncmp(code, "AA", 2) || !strncmp(code, "ZZ", 2) || code[0] == 'X'
           || (code[0] == 'Q' && code[1] >= 'M' && code[1] <= 'Z');
}

int geo_country_is_one(const char code[2])
{
    return code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'
           && (strchr(second_letters[code[0] - 'A'], code[1]) || country_is_private(code));
}

const char *geo_country_remedy(const char code[2])
{
    static const char *const meant[][2] = {
        { "UK", "write GB" },
        { "EL", "write GR" },
        { "EU", "Europe is a continent, and the Union has no code: name its countries" },
    };
    size_t i;

    for (i = 0; i < sizeof(meant) / sizeof(meant[0]); ++i) {
        if (!strncmp(code, meant[i][0], 2)) {
            return meant[i][1];
        }
    }
    return "see the codes of ISO 3166-1 alpha-2";
}
