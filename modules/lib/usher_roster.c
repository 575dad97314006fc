#include "usher_roster.h"

#include <openssl/evp.h>
#include <string.h>

/* Piece by piece, so that nothing is cut. */
void usher_roster_id(unsigned char id[USHER_ID_SIZE], const char *cluster, const char *route)
{
    static const char scheme[] = "balancer://", kind[] = "route";
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    memset(digest, 0, USHER_ID_SIZE);
    if (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) {
        EVP_DigestUpdate(hash, scheme, sizeof(scheme) - 1);
        EVP_DigestUpdate(hash, cluster, strlen(cluster) + 1);
        EVP_DigestUpdate(hash, kind, sizeof(kind));
        EVP_DigestUpdate(hash, route, strlen(route));
        EVP_DigestFinal_ex(hash, digest, NULL);
    }
    EVP_MD_CTX_free(hash);
    memcpy(id, digest, USHER_ID_SIZE);
}
