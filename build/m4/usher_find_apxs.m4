# USHER_FIND_APXS: sets APXS, HTTPD, HTTPD_CPPFLAGS, APR_LIBS, USHER_LIBEXECDIR.
# apxs is only asked questions; Automake and libtool compile.
AC_DEFUN([USHER_FIND_APXS], [
AC_ARG_WITH([apxs],
    [AS_HELP_STRING([--with-apxs=PATH], [apxs of the httpd to build for])],
    [APXS=$withval])
AS_IF([test -z "$APXS"],
    [AC_PATH_PROGS([APXS], [apxs2 apxs], [no], [$PATH:/usr/sbin:/usr/local/apache2/bin])])
AS_IF([test "$APXS" = no || ! "$APXS" -q LIBEXECDIR >/dev/null 2>&1],
    [AC_MSG_ERROR([no working apxs ($APXS): install apache2-dev (Debian, Ubuntu) or httpd-devel (RHEL), or use --with-apxs=PATH])])
USHER_LIBEXECDIR=`$APXS -q LIBEXECDIR`
HTTPD="`$APXS -q SBINDIR`/`$APXS -q PROGNAME`"
HTTPD_CPPFLAGS="-I`$APXS -q INCLUDEDIR` -I`$APXS -q APR_INCLUDEDIR` -I`$APXS -q APU_INCLUDEDIR` `$APXS -q EXTRA_CPPFLAGS`"
APR_LIBS="`\`$APXS -q APR_CONFIG\` --link-ld --libs` `\`$APXS -q APU_CONFIG\` --link-ld`"
AC_SUBST([APXS]) AC_SUBST([HTTPD]) AC_SUBST([HTTPD_CPPFLAGS]) AC_SUBST([APR_LIBS]) AC_SUBST([USHER_LIBEXECDIR])
])

# USHER_CHECK_HEADER_VERSION(what, header, condition, remedy)
# refuses a version for which the preprocessor finds the condition false.
AC_DEFUN([USHER_CHECK_HEADER_VERSION], [
AC_MSG_CHECKING([for $1])
usher_save_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $HTTPD_CPPFLAGS"
AC_PREPROC_IFELSE([AC_LANG_SOURCE([[
#include <$2>
#if !($3)
#error too old
#endif
]])],
    [AC_MSG_RESULT([yes])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([Usher needs $1: $4])])
CPPFLAGS=$usher_save_CPPFLAGS
])
