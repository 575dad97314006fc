# shellcheck shell=sh
# Where to build, and building: sourced by build/run and build/test.
#
#   . "$(dirname "$0")/common.sh"
#   dir=$(usher_builddir run) || exit 1
#   usher_build "$dir" [configure's options] || exit 1
#
# The caller's traps for INT, TERM and HUP call usher_stop_job.

usher_program=build/$(basename "$0")
usher_srcdir=$(cd "$(dirname "$0")/.." && pwd -P)
usher_job=
usher_tmp=

usher_say() {
    echo "$usher_program: $*" >&2
}

# httpd's children and Tomcat, started by root, run as "nobody", who must be
# able to enter each directory up to the root.
usher_nobody_enters() {
    setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups test -x "$1"
}

# Makes a directory for us alone to write to. In /var/tmp anybody could have
# made one of that name before.
usher_own_directory() {
    mkdir -m 755 "$1" 2>/dev/null || true
    # Not a link, and ours.
    if test -L "$1" || ! test -d "$1"; then
        usher_say "$1 is not a directory: remove it, or choose another one with USHER_BUILD=DIR"
        return 1
    fi
    if test "$(stat -c %u "$1")" != "$(id -u)"; then
        usher_say "$1 belongs to another user: remove it, or choose another one with USHER_BUILD=DIR"
        return 1
    fi
}

# True where .build in the checkout can be ours, and its programs be run.
usher_fits_checkout() {
    test -w "$usher_srcdir" || return 1
    if test -e "$usher_srcdir/.build" && test "$(stat -c %u "$usher_srcdir/.build")" != "$(id -u)"; then
        return 1
    fi
    test "$(id -u)" -ne 0 || usher_nobody_enters "$usher_srcdir"
}

# usher_builddir NAME: makes and prints the directory to build in: what
# USHER_BUILD says, or .build/NAME in the checkout, or one in /var/tmp where
# the checkout cannot be written to or is closed to "nobody", as /root is.
usher_builddir() {
    umask 022
    # configure and httpd's configuration would take it for two words.
    case $usher_srcdir${USHER_BUILD-} in
        *[[:space:]]*)
            usher_say "the path of the checkout, and USHER_BUILD, may have no blank in it:" \
                "\"$usher_srcdir\"${USHER_BUILD:+, \"$USHER_BUILD\"}"
            return 1
            ;;
    esac
    if test -n "${USHER_BUILD-}"; then
        mkdir -p "$USHER_BUILD" || return 1
        if test "$(id -u)" -eq 0 && ! usher_nobody_enters "$USHER_BUILD"; then
            usher_say "USHER_BUILD=$USHER_BUILD: httpd's children run as user \"nobody\", who cannot enter it:" \
                "chmod o+x it and the directories above it, or choose another one"
            return 1
        fi
        (cd "$USHER_BUILD" && pwd -P)
        return
    fi
    usher_parent=/var/tmp/usher-$(id -u)-$(echo "$usher_srcdir" | cksum | cut -d ' ' -f 1)
    if usher_fits_checkout; then usher_parent=$usher_srcdir/.build; fi
    usher_own_directory "$usher_parent" && usher_own_directory "$usher_parent/$1" &&
        echo "$usher_parent/$1"
}

# What is shown of the log of a command that failed. build/test has its own.
usher_show_failure() {
    tail -n 60 "$1"
}

# Runs a command with its output in a log, which is shown if it fails. It has a
# process group of its own, so that an interrupt can end all of it.
usher_do() {
    usher_log=$1
    shift
    test -z "$usher_tmp" || mkdir -p "$usher_tmp" || return 1
    usher_job=starting
    TMPDIR=$usher_tmp setsid "$@" >>"$usher_log" 2>&1 </dev/null &
    usher_job=$!
    usher_status=0
    wait "$usher_job" || usher_status=$?
    usher_job=
    test "$usher_status" -ne 0 || return 0
    usher_show_failure "$usher_log" >&2
    usher_say "\"$*\" failed: what of its output tells why is above, all of it in $usher_log"
    return 1
}

# For traps: ends what usher_do is running, and waits for it.
usher_stop_job() {
    if test "$usher_job" = starting; then usher_job=${!-}; fi
    test -n "$usher_job" || return 0
    kill -TERM -- "-$usher_job" 2>/dev/null || kill -TERM "$usher_job" 2>/dev/null || true
    usher_tries=0
    while kill -0 -- "-$usher_job" 2>/dev/null; do
        usher_tries=$((usher_tries + 1))
        if test $usher_tries -gt 100; then kill -KILL -- "-$usher_job" 2>/dev/null; break; fi
        sleep 0.05
    done
    wait "$usher_job" 2>/dev/null || true
    usher_job=
    rm -rf "$usher_tmp"
}

# True where autoreconf has to run: before the first configure, and after
# its input has changed.
usher_needs_autoreconf() {
    test -x "$usher_srcdir/configure" && test -e "$usher_srcdir/Makefile.in" || return 0
    test -n "$(find "$usher_srcdir/configure.ac" "$usher_srcdir/Makefile.am" "$usher_srcdir/build/m4" \
        -type f -newer "$usher_srcdir/configure" -print)"
}

usher_autoreconf() {
    usher_needs_autoreconf || return 0
    if ! test -w "$usher_srcdir"; then
        usher_say "cannot write to $usher_srcdir (of user $(stat -c %U "$usher_srcdir")), and \"configure\" has to be made there:" \
            "copy the checkout to a directory of your own, or run \"autoreconf -fi\" there as its owner"
        return 1
    fi
    if test "$(stat -c %u "$usher_srcdir")" != "$(id -u)"; then
        usher_say "note: $usher_srcdir belongs to user $(stat -c %U "$usher_srcdir");" \
            "what autoreconf writes there will belong to $(id -un)"
    fi
    echo "preparing configure"
    usher_do "$usher_buildlog" autoreconf -fi "$usher_srcdir"
}

# Configures where that was not done yet, or with other options.
usher_configure() {
    if test -e config.status && test "$(cat configure-options 2>/dev/null)" = "$*"; then
        return 0
    fi
    echo "configuring in $(pwd -P)"
    rm -f config.status configure-options
    usher_do "$usher_buildlog" "$usher_srcdir/configure" "$@" || return 1
    echo "$*" >configure-options
}

# usher_build DIR [configure's options]: builds the checkout in DIR, and stays
# in DIR. The output goes to DIR/build.log.
usher_build() {
    cd "$1" || return 1
    shift
    umask 022
    usher_buildlog=$(pwd -P)/build.log
    : >"$usher_buildlog" || return 1
    if test -e "$usher_srcdir/config.status"; then
        usher_say "$usher_srcdir is configured for building in it, which keeps it from being built elsewhere:" \
            "run \"make distclean\" there first"
        return 1
    fi
    # What autoreconf and the compiler leave when they are interrupted lies here.
    usher_tmp=$(pwd -P)/tmp
    rm -rf "$usher_tmp"
    # One build of this checkout at a time: all use what autoreconf writes.
    exec 8<"$usher_srcdir"
    if ! flock -n 8; then
        echo "waiting for another build of $usher_srcdir"
        usher_do /dev/null flock 8
    fi
    usher_autoreconf && usher_configure "$@" && echo "building" &&
        usher_do "$usher_buildlog" make -j"$(nproc)"
    usher_status=$?
    rm -rf "$usher_tmp"
    exec 8<&-
    return $usher_status
}
