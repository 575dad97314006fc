#include "fuzz.h"
#include "log_line.h"

/* A text lies within the line, and what it decodes to is no longer. */
static void check(const log_line_t *line, const log_text_t *text, const uint8_t *data, size_t size)
{
    char decoded[64];

    if (text->len) {
        const uint8_t *at = (const uint8_t *)text->at;

        FUZZ_ASSERT(at >= data && text->len <= size && at + text->len <= data + size);
        FUZZ_ASSERT(log_line_text(decoded, sizeof(decoded), line->kind, text) <= text->len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_line_t line;
    log_text_t path;
    int i;

    if (log_line_parse(&line, (const char *)data, size) != USHER_PARSE_DONE) {
        return 0;
    }
    path = log_line_path(&line);
    check(&line, &path, data, size);
    check(&line, &line.client, data, size);
    check(&line, &line.method, data, size);
    check(&line, &line.uri, data, size);
    check(&line, &line.vhost, data, size);
    check(&line, &line.id, data, size);
    check(&line, &line.cluster, data, size);
    check(&line, &line.member, data, size);
    FUZZ_ASSERT(!line.status || (line.status >= 100 && line.status <= 999));
    FUZZ_ASSERT(line.tries >= -1 && line.replays >= -1 && line.bytes_in >= -1 && line.bytes_out >= -1);
    for (i = 0; i < LOG_TIMES; ++i) {
        FUZZ_ASSERT(line.times[i] >= -1 && line.times[i] <= LOG_TIME_MAX);
    }
    for (i = 0; i < LOG_STATE_SIZE; ++i) {
        FUZZ_ASSERT(line.state[i] == '-' || (line.state[i] >= 'A' && line.state[i] <= 'z'));
    }
    return 0;
}
