#include "unit.h"
#include "usher_tls_answer.h"
#include "usher_tls_names.h"

#include <stdio.h>

#define RANDOM "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define RETRY  "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
#define DH_256 "0020" RANDOM

typedef void answer_fn(usher_tls_answer_t *answer, const unsigned char *message, apr_size_t len);

static const struct {
    answer_fn *read;
    const char *hex;
    apr_uint16_t before; /* the version that is known already */
    const char *shown;   /* version, cipher, group, sigalg, bits, retry */
} cases[] = {
    { usher_tls_answer_hello, "0303" RANDOM "00" "c02b" "00", 0, "0303 c02b 0000 0000 0 0" },
    { usher_tls_answer_hello, "0303" RANDOM "00" "c02b" "00" "0005ff01000100", 0,
      "0303 c02b 0000 0000 0 0" },
    { usher_tls_answer_hello, "0303" RANDOM "20" RANDOM "1301" "00" "0010" "002b00020304"
      "00330006001d0002ffff", 0, "0304 1301 001d 0000 0 0" },
    { usher_tls_answer_hello, "0303" RETRY "00" "1302" "00" "000c" "002b00020304" "003300020018", 0,
      "0304 1302 0018 0000 0 1" },
    { usher_tls_answer_hello, "0303" RANDOM "00" "c02b", 0, "0000 0000 0000 0000 0 0" },
    { usher_tls_answer_ecdhe, "03001d" "02ffff" "0804" "0002aaaa", 0x0303, "0303 0000 001d 0804 0 0" },
    { usher_tls_answer_ecdhe, "03001d" "02ffff" "0002aaaa", 0x0302, "0302 0000 001d 0000 0 0" },
    { usher_tls_answer_ecdhe, "03001d" "02ffff", 0x0303, "0303 0000 001d 0000 0 0" },
    { usher_tls_answer_ecdhe, "03001d" "09ffff", 0x0303, "0303 0000 001d 0000 0 0" },
    { usher_tls_answer_ecdhe, "01001d", 0x0303, "0303 0000 0000 0000 0 0" },
    { usher_tls_answer_dhe, DH_256 "000102" DH_256 "0401" "0001aa", 0x0303, "0303 0000 0000 0401 256 0" },
    { usher_tls_answer_dhe, DH_256 "000102" DH_256 "0001aa", 0x0301, "0301 0000 0000 0000 256 0" },
    { usher_tls_answer_dhe, "0030" RANDOM, 0x0303, "0303 0000 0000 0000 0 0" },
    { usher_tls_answer_verify, "0403" "0002aaaa", 0x0304, "0304 0000 0000 0403 0 0" },
    { usher_tls_answer_verify, "04", 0x0304, "0304 0000 0000 0000 0 0" },
};

START_TEST(chosen)
{
    unsigned char bytes[256];
    size_t len = unit_bytes(bytes, cases[_i].hex), i;
    char text[64];

    /* All its beginnings as well: ASan would see a read past the end. */
    for (i = 0; i <= len; ++i) {
        unsigned char *message = (unsigned char *)unit_copy(bytes, i);
        usher_tls_answer_t answer = { cases[_i].before, 0, 0, 0, 0, 0 };

        cases[_i].read(&answer, message, i);
        sprintf(text, "%04x %04x %04x %04x %d %d", answer.version, answer.cipher, answer.group,
                answer.sigalg, answer.dh_bits, answer.retry);
        free(message);
    }
    ck_assert_str_eq(text, cases[_i].shown);
}
END_TEST

START_TEST(names)
{
    int i;

    for (i = 0; i < USHER_TLS_OUTCOMES; ++i) {
        ck_assert_ptr_nonnull(usher_tls_outcome_name((usher_tls_outcome_e)i));
    }
    ck_assert_str_eq(usher_tls_outcome_name(USHER_TLS_STOPPED), "stopped");
    ck_assert_str_eq(usher_tls_outcome_name(USHER_TLS_OUTCOMES), "unknown");
    ck_assert_str_eq(usher_tls_version_name(0x0301), "TLSv1");
    ck_assert_ptr_null(usher_tls_version_name(0x0305));
    ck_assert_str_eq(usher_tls_alert_name(0), "close_notify");
    ck_assert_str_eq(usher_tls_alert_name(40), "handshake_failure");
    ck_assert_ptr_null(usher_tls_alert_name(255));
    ck_assert_str_eq(usher_tls_group_name(0x11ec), "X25519MLKEM768");
    ck_assert_ptr_null(usher_tls_group_name(0));
    ck_assert_str_eq(usher_tls_sigalg_name(0x0804), "rsa_pss_rsae_sha256");
    ck_assert_ptr_null(usher_tls_sigalg_name(0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_answer");
    TCase *tc = tcase_create("what a server chose");

    tcase_add_loop_test(tc, chosen, 0, UNIT_COUNT(cases));
    tcase_add_test(tc, names);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
