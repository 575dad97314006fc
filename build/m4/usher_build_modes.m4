# USHER_BUILD_MODES: the --enable switches that change how everything is
# compiled. Sets USHER_CFLAGS, USHER_LDFLAGS, USHER_PRELOAD and FUZZ_CFLAGS.
AC_DEFUN([USHER_BUILD_MODES], [
AC_ARG_ENABLE([maintainer-mode],
    [AS_HELP_STRING([--enable-maintainer-mode], [warnings are errors])],
    [], [enable_maintainer_mode=no])
AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers], [build with ASan and UBSan; the tests run httpd with them])],
    [], [enable_sanitizers=no])
AC_ARG_ENABLE([fuzzers],
    [AS_HELP_STRING([--enable-fuzzers], [build libFuzzer targets (needs clang); `make fuzz' runs them])],
    [], [enable_fuzzers=no])
AC_ARG_ENABLE([coverage],
    [AS_HELP_STRING([--enable-coverage], [build for `make coverage' (needs lcov)])],
    [], [enable_coverage=no])

usher_is_clang=no
AC_PREPROC_IFELSE([AC_LANG_SOURCE([[
#ifndef __clang__
#error not clang
#endif
]])], [usher_is_clang=yes])

USHER_CFLAGS="-Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wshadow -Wundef -Wformat=2 -Wwrite-strings -Wno-missing-field-initializers -Wno-unused-parameter"
# APR's rings (bucket brigades) subtract from null pointers, as offsetof() once did.
AS_IF([test "$usher_is_clang" = yes],
    [USHER_CFLAGS="$USHER_CFLAGS -Wno-unknown-warning-option -Wno-null-pointer-subtraction"])
USHER_LDFLAGS=
USHER_PRELOAD=
FUZZ_CFLAGS=
AS_IF([test "$enable_maintainer_mode" = yes], [USHER_CFLAGS="$USHER_CFLAGS -Werror"])

# httpd itself is not built with ASan: its run-time library is loaded first.
AS_IF([test "$enable_sanitizers" = yes], [
    usher_sanitize="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    usher_arch=`$CC -dumpmachine | sed 's/-.*//'`
    AS_IF([test $usher_is_clang = yes],
        [usher_sanitize="$usher_sanitize -shared-libasan"
         usher_asan=libclang_rt.asan-$usher_arch.so],
        [usher_asan=libasan.so])
    USHER_PRELOAD=`$CC -print-file-name=$usher_asan`
    AS_IF([test ! -e "$USHER_PRELOAD"],
        [AC_MSG_ERROR([--enable-sanitizers: $CC has no $usher_asan: install libasan (gcc) or libclang-rt-dev (clang)])])
    USHER_CFLAGS="$USHER_CFLAGS $usher_sanitize"
    AS_IF([test $usher_is_clang = yes], [USHER_LDFLAGS="-Wl,-rpath,`dirname $USHER_PRELOAD`"])
])
AS_IF([test "$enable_coverage" = yes],
    [AC_CHECK_PROG([LCOV], [lcov], [lcov], [no])
     AS_IF([test "$LCOV" = no], [AC_MSG_ERROR([--enable-coverage: install lcov])])
     USHER_CFLAGS="$USHER_CFLAGS --coverage -O0 -fprofile-update=atomic"])
AS_IF([test "$enable_fuzzers" = yes],
    [AS_IF([test $usher_is_clang = no],
        [AC_MSG_ERROR([--enable-fuzzers needs clang: install clang and run configure with CC=clang])])
     FUZZ_CFLAGS="-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"])

AM_CONDITIONAL([ENABLE_SANITIZERS], [test "$enable_sanitizers" = yes])
AM_CONDITIONAL([ENABLE_FUZZERS], [test "$enable_fuzzers" = yes])
AM_CONDITIONAL([ENABLE_COVERAGE], [test "$enable_coverage" = yes])
AC_SUBST([USHER_CFLAGS]) AC_SUBST([USHER_LDFLAGS]) AC_SUBST([USHER_PRELOAD]) AC_SUBST([FUZZ_CFLAGS]) AC_SUBST([enable_coverage])
])
