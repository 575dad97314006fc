/* One request over HTTP, by libcurl. The server is not trusted: it cannot send us
 * anywhere else, and an answer has a size and a time that it may not go beyond. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl_fetch.h"

#define ANSWER_MAX (64 * 1024 * 1024)
#define SECONDS_MAX 60L

typedef struct {
    char *bytes;
    size_t len, size;
} fetch_answer_t;

/* Less than what was given ends the transfer. */
static size_t fetch_put(char *bytes, size_t one, size_t count, void *baton)
{
    fetch_answer_t *answer = baton;
    size_t len = one * count;

    if (len > ANSWER_MAX - answer->len) {
        return 0;
    }
    if (answer->len + len + 1 > answer->size) {
        size_t size = 2 * (answer->len + len + 1);
        char *bigger = realloc(answer->bytes, size);

        if (!bigger) {
            return 0;
        }
        answer->bytes = bigger;
        answer->size = size;
    }
    memcpy(answer->bytes + answer->len, bytes, len);
    answer->len += len;
    answer->bytes[answer->len] = '\0';
    return len;
}

static void fetch_options(CURL *curl, const ctl_fetch_t *from, const ctl_request_t *request)
{
    curl_easy_setopt(curl, CURLOPT_URL, from->url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, SECONDS_MAX);
    /* Not to whom http_proxy= names: this is for the machine itself, most often. */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (from->socket) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, from->socket);
    }
    if (from->insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (from->user) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST));
        curl_easy_setopt(curl, CURLOPT_USERNAME, from->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, from->password);
    }
    if (request && request->body) {
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, request->body);
    }
    if (request) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static long fetch_run(CURL *curl, apr_pool_t *p, const ctl_fetch_t *from, fetch_answer_t *answer)
{
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode rc;

    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, fetch_put);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    rc = curl_easy_perform(curl);
    if (rc != CURLE_OK) {
        fprintf(stderr, "usherctl: %s: %s\n", ctl_harmless(p, from->url),
                ctl_harmless(p, *why ? why : curl_easy_strerror(rc)));
        return 0;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* NULL: no memory. */
static struct curl_slist *fetch_headers(const ctl_request_t *request)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json"), *longer;
    int i;

    for (i = 0; headers && request && request->headers && i < request->headers->nelts; ++i) {
        longer = curl_slist_append(headers, APR_ARRAY_IDX(request->headers, i, const char *));
        if (!longer) {
            curl_slist_free_all(headers);
        }
        headers = longer;
    }
    return headers;
}

long ctl_fetch(apr_pool_t *p, const ctl_fetch_t *from, const ctl_request_t *request, const char **body)
{
    struct curl_slist *headers = fetch_headers(request);
    fetch_answer_t answer = { NULL, 0, 0 };
    CURL *curl = curl_easy_init();
    long status = 0;

    if (curl && headers) {
        fetch_options(curl, from, request);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        status = fetch_run(curl, p, from, &answer);
    }
    *body = answer.bytes ? apr_pstrmemdup(p, answer.bytes, answer.len) : "";
    free(answer.bytes);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}
