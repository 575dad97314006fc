/* The file of mod_usher_tls's statistics. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls.h"
#include "tls_snapshot.h"
#include "usher_tls_names.h"

/* @return NULL after errno was set */
static unsigned char *file_bytes(int fd, apr_size_t size, apr_size_t *len)
{
    unsigned char *bytes = malloc(size + 1);
    ssize_t got = 1;

    for (*len = 0; bytes && got > 0 && *len < size; *len += (apr_size_t)got) {
        got = read(fd, bytes + *len, size - *len);
        if (got < 0) {
            free(bytes);
            bytes = NULL;
            break;
        }
    }
    return bytes;
}

/* Others may write where it lies: a FIFO is not waited for. */
static unsigned char *file_read(apr_pool_t *p, const char *name, apr_size_t *len)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    unsigned char *bytes = NULL;
    struct stat info;

    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode)
        && (apr_uint64_t)info.st_size <= USHER_TLSSTATS_SIZE_MAX) {
        bytes = file_bytes(fd, (apr_size_t)info.st_size, len);
    }
    else if (fd >= 0) {
        errno = EBADF; /* which nothing else here means */
    }
    if (!bytes) {
        tls_fails(p, "%s: %s", name, errno == EBADF ? "is no file of statistics" : strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return bytes;
}

/* Pages that nothing is written to need no memory. */
static void *empty(apr_uint64_t size)
{
    void *base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return base == MAP_FAILED ? NULL : base;
}

static const char *load(tls_snapshot_t *snapshot, const unsigned char *bytes, apr_size_t len)
{
    apr_uint64_t size;
    void *base;

    if (!usher_tlsstats_peek(bytes, len, &size, &snapshot->saved)) {
        return "is no file of statistics, or one of another release";
    }
    base = empty(size);
    if (!base) {
        return strerror(errno);
    }
    usher_tlsstats_open(&snapshot->stats, base, size);
    if (!usher_tlsstats_load(&snapshot->stats, bytes, len, &snapshot->dropped)) {
        return "is damaged";
    }
    snapshot->begun = (apr_int64_t)atomic_load(&snapshot->stats.header->begun);
    return NULL;
}

int tls_snapshot_read(apr_pool_t *p, tls_snapshot_t *snapshot, const char *name)
{
    apr_size_t len = 0;
    unsigned char *bytes = file_read(p, name, &len);
    const char *why;

    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->name = name;
    if (!bytes) {
        return CTL_FAILED;
    }
    why = load(snapshot, bytes, len);
    free(bytes);
    return why ? tls_fails(p, "%s: %s", name, why) : CTL_DONE;
}

usher_tlsstats_span_t tls_snapshot_span(const tls_snapshot_t *snapshot, usher_tlsstats_unit_e unit,
                                        apr_uint32_t len)
{
    return usher_tlsstats_last(len ? unit : USHER_TLSSTATS_ALWAYS, len, snapshot->saved);
}

static const char *number_text(apr_pool_t *p, apr_uint16_t number, const char *name)
{
    return !number ? "-" : name ? name : apr_psprintf(p, "0x%04x", number);
}

const char *tls_version_text(apr_pool_t *p, apr_uint16_t version)
{
    return number_text(p, version, usher_tls_version_name(version));
}

const char *tls_group_text(apr_pool_t *p, apr_uint16_t group)
{
    return number_text(p, group, usher_tls_group_name(group));
}

/* Which names there are does not hang on what a connection may use. */
const char *tls_cipher_text(apr_pool_t *p, apr_uint16_t cipher)
{
    static SSL *ssl;
    const unsigned char bytes[2] = { (unsigned char)(cipher >> 8), (unsigned char)cipher };
    const SSL_CIPHER *found;

    if (!ssl) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

        ssl = ctx ? SSL_new(ctx) : NULL;
        SSL_CTX_free(ctx);
    }
    found = ssl ? SSL_CIPHER_find(ssl, bytes) : NULL;
    return number_text(p, cipher, found ? SSL_CIPHER_get_name(found) : NULL);
}

const char *tls_address_text(apr_pool_t *p, const usher_tlsstats_client_t *client)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    int ipv4 = !memcmp(client->address, mapped, sizeof(mapped));
    char text[INET6_ADDRSTRLEN] = "-";

    inet_ntop(ipv4 ? AF_INET : AF_INET6, client->address + (ipv4 ? 12 : 0), text, sizeof(text));
    return apr_pstrcat(p, text, !client->is_prefix ? "" : ipv4 ? "/24" : "/48", NULL);
}

const char *tls_listed_for_text(apr_pool_t *p, const usher_tlsstats_client_t *client)
{
    return client->version ? tls_version_text(p, client->version)
                           : tls_cipher_text(p, client->cipher);
}

const char *tls_span_text(apr_pool_t *p, const usher_tlsstats_span_t *span)
{
    const char *unit = span->unit == USHER_TLSSTATS_BY_HOUR ? "hour" : "day";

    return span->len == 1 ? apr_psprintf(p, "last %s", unit)
                          : apr_psprintf(p, "last %d %ss", (int)span->len, unit);
}
