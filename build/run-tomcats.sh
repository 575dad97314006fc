# shellcheck shell=bash
# The processes of build/run, which sources this, and most of all its Tomcats: each is started,
# signs in, and is stopped in one way or another. It uses these variables of build/run: run (its
# directory), drain (how long a Tomcat may drain), http_port, http (what its URLs begin with).
# shellcheck disable=SC2154

declare -A name_of=() log_of=()                                       # by pid
declare -A tomcat_pid=() tomcat_port=() tomcat_proto=() member_pid=() # by the name of a Tomcat

# --- processes

# start NAME COMMAND...: in a process group of its own, so that Ctrl-C reaches
# this script alone. What ends it in any case is the death of this script.
start() {
    local name=$1 log=$run/logs/$1.log
    shift
    setsid setpriv --pdeathsig TERM -- "$@" >"$log" 2>&1 </dev/null 9>&- &
    name_of[$!]=$name
    log_of[$!]=$log
    pid_of_last=$!
}

# ended PID: waits until its process group is gone.
ended() {
    local tries=0
    while kill -0 -- "-$1" 2>/dev/null; do
        tries=$((tries + 1))
        if test "$tries" -gt "${2-300}"; then
            usher_say "${name_of[$1]-process $1} did not end in time: killed"
            kill -KILL -- "-$1" 2>/dev/null || true
            return
        fi
        sleep 0.05
    done
}

# stop SIGNAL PID [TWENTIETHS of a second that it may take]
stop() {
    kill "-$1" -- "-$2" 2>/dev/null || true
    test "$1" = KILL || ended "$2" "${3-300}"
    # Without the shell's line about a process that was killed
    { wait "$2" || true; } 2>/dev/null
    unset "name_of[$2]"
}

# jobs -p knows what was started also when the interrupt came before the next
# line of this script. Each has a process group of its own.
stop_all() {
    local pid pids
    usher_stop_job
    # There is no httpd any more to sign out from.
    for pid in "${member_pid[@]}"; do kill -KILL -- "-$pid" 2>/dev/null || true; done
    pids="$(jobs -p) ${!name_of[*]}"
    for pid in $pids; do
        if kill -0 "$pid" 2>/dev/null; then
            kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || true
        else
            # The children of an httpd that was killed do not listen to TERM.
            kill -KILL -- "-$pid" 2>/dev/null || true
        fi
    done
    for pid in $pids; do
        ended "$pid"
    done
    wait
}

# until_true SECONDS PID COMMAND...: polls; fails when the process has ended.
until_true() {
    local tries=$(($1 * 10)) pid=$2
    shift 2
    while ! "$@"; do
        kill -0 "$pid" 2>/dev/null || return 1
        tries=$((tries - 1))
        test $tries -gt 0 || return 1
        sleep 0.1
    done
}

# show_and_die PID WHAT: the end of its log.
show_and_die() {
    tail -n 25 "${log_of[$1]}" >&2
    if test "${name_of[$1]}" = httpd && test -e "$run/logs/error_log"; then
        tail -n 25 "$run/logs/error_log" >&2
    fi
    die "${name_of[$1]} $2; the end of its log is above, all of it in ${log_of[$1]%/*}"
}

# --- ports

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port for a Tomcat: any that nobody listens on.
first_port=12000
last_port=31000
next_port=$((first_port + $$ % (last_port - first_port - 1000)))
free_port() {
    next_port=$((next_port + 1))
    while answers $next_port; do next_port=$((next_port + 1)); done
}

http_answers() {
    curl -q -s -o "$run/logs/probe.$$" --noproxy '*' --max-time 5 "http://127.0.0.1:$1$2"
}

# A CPING is answered with a CPONG.
ajp_answers() {
    local answer
    answer=$( (
        exec 3<>"/dev/tcp/127.0.0.1/$1" && printf '\x12\x34\x00\x01\x0a' >&3 &&
            timeout 5 head -c 5 <&3 | od -An -tx1
    ) 2>/dev/null) || return 1
    test "$answer" = " 41 42 00 01 09"
}

# --- Tomcats

# start_tomcat NAME http|ajp
start_tomcat() {
    free_port
    tomcat_port[$1]=$next_port tomcat_proto[$1]=$2
    start "tomcat-$1" "$usher_srcdir/build/tomcat" "$run/tomcats/$1" "$2" "$next_port" "$run/ajp-secret"
    tomcat_pid[$1]=$pid_of_last
    echo "$pid_of_last" >"$run/tomcats/$1.pid"
}

# What usher-member knows of a Tomcat, and itself: it signs in, sends heartbeats, and when it is
# told to end (TERM) it drains and signs out.
start_member() {
    local conf=$run/tomcats/$1.conf
    (
        umask 077
        cat "$run/member.conf" - >"$conf" <<END
PROXY=http://127.0.0.1:$http_port/usher-register
CLUSTER=app
ROUTE=$1
URL=${tomcat_proto[$1]}://self:${tomcat_port[$1]}
LEASE=15s
DRAIN=$drain
$(test "${tomcat_proto[$1]}" != ajp || echo SECRET_NAME=tomcat)
END
    )
    start "member-$1" "$usher_srcdir/member/usher-member" -c "$conf" run
    member_pid[$1]=$pid_of_last
    until_true 60 "$pid_of_last" is_up "$1" || show_and_die "$pid_of_last" "could not sign in"
}

# Whether it gets requests, as the status says.
is_up() {
    curl -q -s --noproxy '*' --max-time 5 "$http/usher-status" |
        grep -Eq "^ *[a-z]+://127\.0\.0\.1:[0-9]+ +$1 +this-machine +[0-9]+ +(starting|up) "
}

# Until it answers; then it signs in.
wait_for_tomcat() {
    local pid=${tomcat_pid[$1]}
    case ${tomcat_proto[$1]} in
        http) until_true 60 "$pid" http_answers "${tomcat_port[$1]}" / ;;
        ajp) until_true 60 "$pid" ajp_answers "${tomcat_port[$1]}" ;;
    esac || show_and_die "$pid" "does not answer"
    start_member "$1"
}

# As the machine under it would die: nobody says good-bye.
kill_tomcat() {
    stop KILL "${member_pid[$1]}"
    stop KILL "${tomcat_pid[$1]}"
    unset "member_pid[$1]" "tomcat_pid[$1]"
}

# In good order: it drains, signs out, and ends.
leave_tomcat() {
    stop TERM "${member_pid[$1]}" 800
    stop TERM "${tomcat_pid[$1]}"
    unset "member_pid[$1]" "tomcat_pid[$1]"
}

# run_tomcat NAME http|ajp: one beside those of another build/run, until it is interrupted.
run_tomcat() {
    ! kill -0 "$(cat "$run/tomcats/$1.pid" 2>/dev/null || echo none)" 2>/dev/null || die "a Tomcat \"$1\" is running: choose another name"
    echo "starting $1"
    start_tomcat "$1" "$2"
    wait_for_tomcat "$1"
    echo "$1 has signed in: curl $http/usher-status shows it. Ctrl-C lets it leave"
    trap 'echo; echo "$tomcat drains, as long as it has users, and signs out"; leave_tomcat "$tomcat"; exit 0' INT TERM
    wait "${tomcat_pid[$1]}" || true
    die "it has ended by itself; the end of its log: $(tail -n 5 "$run/logs/tomcat-$1.log")"
}
