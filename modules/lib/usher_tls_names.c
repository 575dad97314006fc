#include "usher_tls_names.h"

typedef struct names_t {
    apr_uint16_t number;
    const char *name;
} names_t;

static const char *const names_outcomes[USHER_TLS_OUTCOMES] = {
    [USHER_TLS_UNDER_WAY] = "under-way",
    [USHER_TLS_DONE] = "done",
    [USHER_TLS_NO_SHARED_CIPHER] = "no-shared-cipher",
    [USHER_TLS_UNSUPPORTED_VERSION] = "unsupported-version",
    [USHER_TLS_NO_SHARED_GROUP] = "no-shared-group",
    [USHER_TLS_NO_SHARED_SIGALG] = "no-shared-sigalg",
    [USHER_TLS_NO_SHARED_ALPN] = "no-shared-alpn",
    [USHER_TLS_BAD_SNI] = "bad-sni",
    [USHER_TLS_CERT_MISSING] = "cert-missing",
    [USHER_TLS_CERT_REFUSED] = "cert-refused",
    [USHER_TLS_CERT_UNKNOWN_CA] = "cert-unknown-ca",
    [USHER_TLS_CERT_EXPIRED] = "cert-expired",
    [USHER_TLS_CERT_UNFIT] = "cert-unfit",
    [USHER_TLS_CLIENT_ALERT] = "client-alert",
    [USHER_TLS_SERVER_ALERT] = "server-alert",
    [USHER_TLS_PLAIN_HTTP] = "plain-http",
    [USHER_TLS_GARBAGE] = "garbage",
    [USHER_TLS_MALFORMED] = "malformed",
    [USHER_TLS_CLIENT_GONE] = "client-gone",
    [USHER_TLS_NOTHING] = "nothing",
    [USHER_TLS_TIMEOUT] = "timeout",
    [USHER_TLS_STOPPED] = "stopped",
};

static const names_t names_versions[] = {
    { 0x0304, "TLSv1.3" },
    { 0x0303, "TLSv1.2" },
    { 0x0302, "TLSv1.1" },
    { 0x0301, "TLSv1" },
    { 0x0300, "SSLv3" },
    { 0x0002, "SSLv2" },
    { 0, NULL }
};

/* RFC 8446, 6, and those that older versions have */
static const names_t names_alerts[] = {
    { 0, "close_notify" },
    { 10, "unexpected_message" },
    { 20, "bad_record_mac" },
    { 21, "decryption_failed" },
    { 22, "record_overflow" },
    { 30, "decompression_failure" },
    { 40, "handshake_failure" },
    { 41, "no_certificate" },
    { 42, "bad_certificate" },
    { 43, "unsupported_certificate" },
    { 44, "certificate_revoked" },
    { 45, "certificate_expired" },
    { 46, "certificate_unknown" },
    { 47, "illegal_parameter" },
    { 48, "unknown_ca" },
    { 49, "access_denied" },
    { 50, "decode_error" },
    { 51, "decrypt_error" },
    { 52, "too_many_cids_requested" },
    { 60, "export_restriction" },
    { 70, "protocol_version" },
    { 71, "insufficient_security" },
    { 80, "internal_error" },
    { 86, "inappropriate_fallback" },
    { 90, "user_canceled" },
    { 100, "no_renegotiation" },
    { 109, "missing_extension" },
    { 110, "unsupported_extension" },
    { 111, "certificate_unobtainable" },
    { 112, "unrecognized_name" },
    { 113, "bad_certificate_status_response" },
    { 114, "bad_certificate_hash_value" },
    { 115, "unknown_psk_identity" },
    { 116, "certificate_required" },
    { 117, "general_error" },
    { 120, "no_application_protocol" },
    { 121, "ech_required" },
    { 0, NULL }
};

static const names_t names_groups[] = {
    { 0x001D, "x25519" },
    { 0x0017, "secp256r1" },
    { 0x0018, "secp384r1" },
    { 0x0019, "secp521r1" },
    { 0x001E, "x448" },
    { 0x11EC, "X25519MLKEM768" },
    { 0x11EB, "SecP256r1MLKEM768" },
    { 0x11ED, "SecP384r1MLKEM1024" },
    { 0x6399, "X25519Kyber768Draft00" },
    { 0x0200, "MLKEM512" },
    { 0x0201, "MLKEM768" },
    { 0x0202, "MLKEM1024" },
    { 0x0100, "ffdhe2048" },
    { 0x0101, "ffdhe3072" },
    { 0x0102, "ffdhe4096" },
    { 0x0103, "ffdhe6144" },
    { 0x0104, "ffdhe8192" },
    { 0x0001, "sect163k1" },
    { 0x0002, "sect163r1" },
    { 0x0003, "sect163r2" },
    { 0x0004, "sect193r1" },
    { 0x0005, "sect193r2" },
    { 0x0006, "sect233k1" },
    { 0x0007, "sect233r1" },
    { 0x0008, "sect239k1" },
    { 0x0009, "sect283k1" },
    { 0x000A, "sect283r1" },
    { 0x000B, "sect409k1" },
    { 0x000C, "sect409r1" },
    { 0x000D, "sect571k1" },
    { 0x000E, "sect571r1" },
    { 0x000F, "secp160k1" },
    { 0x0010, "secp160r1" },
    { 0x0011, "secp160r2" },
    { 0x0012, "secp192k1" },
    { 0x0013, "secp192r1" },
    { 0x0014, "secp224k1" },
    { 0x0015, "secp224r1" },
    { 0x0016, "secp256k1" },
    { 0x001A, "brainpoolP256r1" },
    { 0x001B, "brainpoolP384r1" },
    { 0x001C, "brainpoolP512r1" },
    { 0x001F, "brainpoolP256r1tls13" },
    { 0x0020, "brainpoolP384r1tls13" },
    { 0x0021, "brainpoolP512r1tls13" },
    { 0x0029, "curveSM2" },
    { 0, NULL }
};

static const names_t names_sigalgs[] = {
    { 0x0804, "rsa_pss_rsae_sha256" },
    { 0x0805, "rsa_pss_rsae_sha384" },
    { 0x0806, "rsa_pss_rsae_sha512" },
    { 0x0403, "ecdsa_secp256r1_sha256" },
    { 0x0503, "ecdsa_secp384r1_sha384" },
    { 0x0603, "ecdsa_secp521r1_sha512" },
    { 0x0401, "rsa_pkcs1_sha256" },
    { 0x0501, "rsa_pkcs1_sha384" },
    { 0x0601, "rsa_pkcs1_sha512" },
    { 0x0807, "ed25519" },
    { 0x0808, "ed448" },
    { 0x0809, "rsa_pss_pss_sha256" },
    { 0x080A, "rsa_pss_pss_sha384" },
    { 0x080B, "rsa_pss_pss_sha512" },
    { 0x0201, "rsa_pkcs1_sha1" },
    { 0x0203, "ecdsa_sha1" },
    { 0x0301, "rsa_pkcs1_sha224" },
    { 0x0303, "ecdsa_sha224" },
    { 0x0101, "rsa_pkcs1_md5" },
    { 0x0202, "dsa_sha1" },
    { 0x0302, "dsa_sha224" },
    { 0x0402, "dsa_sha256" },
    { 0x0502, "dsa_sha384" },
    { 0x0602, "dsa_sha512" },
    { 0x081A, "ecdsa_brainpoolP256r1tls13_sha256" },
    { 0x081B, "ecdsa_brainpoolP384r1tls13_sha384" },
    { 0x081C, "ecdsa_brainpoolP512r1tls13_sha512" },
    { 0x0904, "mldsa44" },
    { 0x0905, "mldsa65" },
    { 0x0906, "mldsa87" },
    { 0, NULL }
};

/* The tables are short, and what is common stands at their beginnings. */
static const char *names_find(const names_t *names, unsigned int number)
{
    while (names->name && names->number != number) {
        ++names;
    }
    return names->name;
}

const char *usher_tls_outcome_name(usher_tls_outcome_e outcome)
{
    return (unsigned int)outcome < USHER_TLS_OUTCOMES ? names_outcomes[outcome] : "unknown";
}

const char *usher_tls_version_name(apr_uint16_t version)
{
    return names_find(names_versions, version);
}

const char *usher_tls_alert_name(unsigned int alert)
{
    return names_find(names_alerts, alert);
}

const char *usher_tls_group_name(apr_uint16_t group)
{
    return names_find(names_groups, group);
}

const char *usher_tls_sigalg_name(apr_uint16_t sigalg)
{
    return names_find(names_sigalgs, sigalg);
}
