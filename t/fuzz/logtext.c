#include "fuzz.h"
#include "usher_logtext.h"

/* Printable, and without what the place does not allow. */
static void check_text(const usher_logtext_t *to, const char *forbidden)
{
    apr_size_t i;

    for (i = 0; i < to->len; ++i) {
        FUZZ_ASSERT(to->text[i] >= 0x20 && to->text[i] <= 0x7e && to->text[i] != '"'
                    ? !strchr(forbidden, to->text[i]) : to->text[i] == '"' && i
                                                            && to->text[i - 1] == '\\');
    }
}

/* Each escape read back gives the bytes again. */
static void check_back(const usher_logtext_t *to, char mark, const uint8_t *data, size_t size)
{
    apr_size_t i = 0, at = 0;

    while (i < to->len) {
        unsigned int byte = (unsigned char)to->text[i++];

        if (byte == (unsigned char)mark) {
            if (mark == '\\' && (to->text[i] == '"' || to->text[i] == '\\')) {
                byte = (unsigned char)to->text[i++];
            }
            else {
                char hex[3] = { 0 };

                i += mark == '\\';
                FUZZ_ASSERT(i + 2 <= to->len);
                memcpy(hex, to->text + i, 2);
                byte = (unsigned int)strtoul(hex, NULL, 16);
                i += 2;
            }
        }
        FUZZ_ASSERT(at < size && data[at] == byte);
        ++at;
    }
    FUZZ_ASSERT(at == size);
}

/* Of JSON: one string, without control characters, and each backslash begins an escape. */
static void check_json(const usher_logtext_t *to)
{
    apr_size_t i;

    FUZZ_ASSERT(to->len >= 2 && to->text[0] == '"' && to->text[to->len - 1] == '"');
    for (i = 1; i + 1 < to->len; ++i) {
        unsigned char c = (unsigned char)to->text[i];

        FUZZ_ASSERT(c >= 0x20 && c != 0x7f && c != '"');
        FUZZ_ASSERT(c != 0xc2 || (unsigned char)to->text[i + 1] >= 0xa0);
        if (c == '\\') {
            ++i;
            FUZZ_ASSERT(to->text[i] == '"' || to->text[i] == '\\'
                        || (to->text[i] == 'u' && i + 5 < to->len && to->text[i + 1] == '0'
                            && to->text[i + 2] == '0'));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *forbidden;
        usher_logtext_e where;
        char mark;
    } places[] = {
        { "", USHER_LOGTEXT_QUOTED, '\\' },
        { " |{}", USHER_LOGTEXT_BARE, '\\' },
        { " |{}/", USHER_LOGTEXT_COOKIE, '\\' },
        { "", USHER_LOGTEXT_HAPROXY, '#' },
        { " |{}", USHER_LOGTEXT_HAPROXY_BARE, '#' },
    };
    const char *bytes = (const char *)data;
    usher_logtext_t to = { malloc(6 * size + 2), 6 * size + 2, 0 };
    unsigned int i;

    for (i = 0; i < sizeof(places) / sizeof(places[0]); ++i) {
        to.len = 0;
        usher_logtext_escape(&to, bytes, size, places[i].where);
        FUZZ_ASSERT(to.len <= 4 * size);
        check_text(&to, places[i].forbidden);
        check_back(&to, places[i].mark, data, size);
    }
    to.len = 0;
    usher_logtext_json(&to, bytes, size);
    FUZZ_ASSERT(to.len <= to.size);
    check_json(&to);
    free(to.text);
    return 0;
}
