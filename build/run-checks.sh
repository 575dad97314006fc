# shellcheck shell=bash
# The requests of "build/run --check", which sources this. It uses these
# variables of build/run: http, https (what URLs begin with), run (its
# directory), dir (the build directory), httpd, usherctl (the programs); and the functions of
# build/run-tomcats.sh.
# shellcheck disable=SC2154

# fetch CURL-ARGUMENTS: the answer with its head, or curl's complaint.
fetch() {
    curl -q -sS -i --noproxy '*' --max-time 20 --cacert "$run/tls/cert.pem" "$@" 2>&1 | tr -d '\r'
}

# expect NAME PATTERN...: says whether each pattern fits a line of $answer.
expect() {
    local name=$1 pattern
    shift
    for pattern in "$@"; do
        if ! grep -Eq -- "$pattern" <<<"$answer"; then
            printf 'FAILED  %-38s no line like "%s" in:\n' "$name" "$pattern"
            head -n 20 <<<"$answer" | sed 's/^/        | /'
            failed=$((failed + 1))
            return 0
        fi
    done
    printf 'ok      %-38s %s\n' "$name" "$(saw)"
    passed=$((passed + 1))
}

expect_not() {
    local name=$1 pattern=$2
    if grep -Eq -- "$pattern" <<<"$answer"; then
        printf 'FAILED  %-38s a line like "%s" in:\n' "$name" "$pattern"
        head -n 20 <<<"$answer" | sed 's/^/        | /'
        failed=$((failed + 1))
        return 0
    fi
    printf 'ok      %-38s\n' "$name"
    passed=$((passed + 1))
}

# In one line: the status, and what the page says about who answered.
saw() {
    awk 'NR == 1 { line = /^HTTP/ ? $1 " " $2 : $0 }
         tolower($1) == "location:" { line = line ", Location " $2 }
         /^(name|connector|scheme|count|body-bytes): / { line = line ", " $1 " " $2 }
         END { print line }' <<<"$answer"
}

value() {
    sed -n "s/^$1: //p" <<<"$answer"
}

check_sticky() {
    local prefix=$1 jar=$run/logs/cookies i first
    rm -f "$jar"
    answer=$(fetch -c "$jar" -b "$jar" "$http$prefix")
    expect "balancer, a new user, $prefix" ' 200' '^count: 1$' \
        '^[Ss]et-[Cc]ookie: USHER=[A-Za-z0-9_-]{80,}; Path=/; HttpOnly; SameSite=Lax$'
    first=$(value name)
    for i in 2 3 4 5; do
        answer=$(fetch -c "$jar" -b "$jar" "$http$prefix")
    done
    expect "balancer, one session, $prefix, 5 times" ' 200' "^name: ${first:-none}\$" "^count: $i\$"
}

# Requests without a cookie until each of them has answered, as far as a minute.
check_all_serve() {
    local name=$1 i all members=
    shift
    for i in {1..300}; do
        answer=$(fetch "$http/app/")
        members="$members $(value name)"
        all=yes
        for member; do case "$members " in *" $member "*) ;; *) all=no ;; esac; done
        test "$all" = no || break
        test "$i" -lt 20 || sleep 0.2
    done
    answer="answered by: $(tr ' ' '\n' <<<"$members" | sort | uniq -c | tr -s '\n ' ' ')"
    expect "$name" "$@"
}

# user_at NAME: a user who is at this Tomcat; his cookies are in $(jar NAME).
jar() { echo "$run/logs/cookies-$1"; }
user_at() {
    local i
    for i in {1..300}; do
        rm -f "$(jar "$1")"
        answer=$(fetch -c "$(jar "$1")" "$http/app/")
        test "$(value name)" != "$1" || return 0
        test "$i" -lt 20 || sleep 0.2
    done
    expect "a user at $1" "^name: $1\$"
}

# as NAME CURL-ARGUMENTS: a request of the user who is at this Tomcat
as() {
    local name=$1
    shift
    fetch -c "$(jar "$name")" -b "$(jar "$name")" "$@"
}

# The page of mod_usher_status: a line for each member.
check_status() {
    local member=$1 states=$2 i line
    line="^ *[a-z]+://127\\.0\\.0\\.1:[0-9]+ +$member +this-machine +[0-9]+ +($states) "
    for i in {1..100}; do
        answer=$(fetch "$http/usher-status")
        if grep -Eq -- "$line" <<<"$answer"; then break; fi
        test "$i" -eq 100 || sleep 0.3
    done
    expect "status, $member" ' 200' "$line"
}

# A Tomcat dies without a word: its users go on at another one.
check_crash() {
    user_at http
    kill_tomcat http
    answer=$(as http "$http/app/")
    expect "a Tomcat is killed: its user goes on" ' 200' '^name: ajp$' '^count: 1$' '^[Ss]et-[Cc]ookie: USHER='
    answer=$(as http "$http/app/")
    expect "and has a session there" ' 200' '^name: ajp$' '^count: 2$'
    check_status http 'resting|down|check failed'
}

# One that nobody has heard of comes, and goes in good order, while httpd runs.
check_another() {
    start_tomcat third http
    wait_for_tomcat third
    check_all_serve "another one signs in: both serve" ajp third
    check_status third 'starting|up'
    user_at third
    leave_tomcat third
    answer=$(as third "$http/app/")
    expect "it signs out: its user goes on" ' 200' '^name: ajp$' '^[Ss]et-[Cc]ookie: USHER='
    answer=$(fetch "$http/usher-status")
    expect_not "status: it is gone" '\<third\>'
    start_tomcat http http
    wait_for_tomcat http
    check_all_serve "the killed one is back: both serve" http ajp
    answer=$(as http "$http/app/")
    expect "its user stays where he is" ' 200' '^name: ajp$' '^count: 3$'
    answer="httpd has started $(grep -c AH00489 "$run/logs/error_log") time"
    expect "httpd was not restarted for that" 'started 1 time'
}

check_post() {
    local at=$1 body=$run/logs/body
    head -c 1048576 /dev/urandom >"$body"
    answer=$(as "$at" --data-binary "@$body" "$https/app/echo.jsp")
    expect "POST of 1 MiB, HTTPS, $at" ' 200' '^method: POST$' '^body-bytes: 1048576$' \
        "^body-sha1: $(sha1sum <"$body" | cut -d ' ' -f 1)\$"
    rm -f "$body"
}

check_redirects() {
    local at=$1 prefix=$2 base how
    for base in "$http" "$https"; do
        for how in path absolute; do
            answer=$(as "$at" --http1.1 "$base${prefix}redirect.jsp?how=$how")
            expect "redirect ($how), ${base%%:*}, $at, $prefix" ' 302' "^Location: ($base)?${prefix}index.jsp\$"
        done
    done
    answer=$(as "$at" "$http${prefix}redirect.jsp?how=external")
    expect "redirect elsewhere, $at, $prefix" ' 302' '^Location: https://sso\.example\.org/index\.jsp$'
}

# What a Tomcat knows of the client, over its protocol.
check_protocol() {
    local at=$1
    answer=$(as "$at" "$http/app/")
    expect "Tomcat over ${at^^}" ' 200' "^connector: $at\$" '^scheme: http$' '^client: 127\.0\.0\.1$'
    answer=$(as "$at" --http1.1 "$https/app/")
    expect "Tomcat over ${at^^}, HTTPS" '^HTTP/1.1 200' "^connector: $at\$" '^scheme: https$'
    if curl -q --version | grep -qw HTTP2; then
        answer=$(as "$at" --http2 "$https/app/")
        expect "Tomcat over ${at^^}, HTTP/2" '^HTTP/2 200' "^connector: $at\$" '^scheme: https$'
    else
        echo "left out: HTTP/2, as this curl cannot"
    fi
    answer=$(as "$at" "$http/app/async.jsp?n=3&ms=10")
    expect "an asynchronous servlet, $at" ' 200' '^data: event 3 of 3,'
    check_access_log "$at"
    check_post "$at"
    check_redirects "$at" /
    check_redirects "$at" /app/
    answer=$(as "$at" "$http/app/error.jsp?code=503")
    expect "a status of the application's own, $at" ' 503' '^status: 503$'
}

check_modules() {
    answer=$("$httpd" -f "$run/httpd.conf" -M 2>&1 | sed -n 's/^ *\(usher[a-z_]*\)_module.*/\1/p' | tr '\n' ' ')
    local file
    for file in "$dir"/.libs/mod_usher.so "$dir"/.libs/mod_usher_*.so; do
        test -e "$file" || continue
        file=${file##*/mod_}
        expect "module ${file%.so} is loaded" "(^| )${file%.so} "
    done
}

# expect_line NAME FILE LINE PATTERN: a line of a log that fits LINE fits the pattern, too. httpd
# writes it after the answer.
expect_line() {
    local name=$1 file=$run/logs/$2 line=$3 pattern=$4 i
    for i in {1..50}; do
        answer=$(grep -E -- "$line" "$file" | tail -n 1)
        test -z "$answer" || break
        test "$i" -lt 50 || answer="no such line"
        sleep 0.1
    done
    expect "$name" "$pattern"
}

# Who carried the requests to a Tomcat, and how it went.
check_access_log() {
    expect_line "access log, $1" usher-access.log "GET /app/async\.jsp.* member=$1 " \
        " state=--.. cluster=app member=$1 tries=1/0 times=[0-9]+/0/[0-9]+/[0-9]+/[0-9]+ "
}

# A client that goes away in the middle of an answer.
check_cut() {
    answer=$(fetch --max-time 1 "$http/app/events.jsp?n=50&ms=100")
    expect_line "a client goes away: who cut it" usher-access.log 'GET /app/events\.jsp\?n=50' \
        ' state=CD.. cluster=app member=(http|ajp) tries=1/0 '
    answer=$("$usherctl" log "$run/logs/usher-access.log" 2>&1)
    expect "usherctl log: how it ended" "^ +ended .*CD [0-9]"
}

# Clients of TLS 1.0, and one that does not know the certificate's signer.
check_tls() {
    openssl s_client -connect "127.0.0.1:${https##*:}" -tls1 -cipher DEFAULT@SECLEVEL=0 </dev/null >"$run/logs/s_client" 2>&1 || true
    answer=$(curl -q -sS --noproxy '*' --max-time 20 "$https/" 2>&1)
    expect "a client that does not trust the site" 'curl: \(60\)'
    expect_line "its handshake in the log of failed ones" usher-handshakes.log 'unknown_ca' \
        ' vhost=localhost.* outcome=cert-unknown-ca alert=(client|received):48:unknown_ca '
    answer=$(fetch "$http/usher-tls")
    expect "TLS 1.0 is counted" ' 200' '^TLSv1 +[1-9][0-9]* +[0-9]+ +[1-9][0-9]*$'
}

# AH01882 is about the versions of the distribution's own packages.
check_error_log() {
    answer=$(grep -E ':(warn|error|crit|alert|emerg)\]' "$run/logs/error_log" | grep -v AH01882 || echo nothing)
    expect "error log, warnings and worse" '^nothing$'
}

run_checks() {
    local failed=0 passed=0 answer at
    check_modules
    answer=$(fetch "$http/static/hello.txt")
    expect "static file, HTTP" ' 200' '^Served by httpd itself'
    answer=$(fetch "$https/static/hello.txt")
    expect "static file, HTTPS" ' 200' '^Served by httpd itself'

    check_all_serve "two Tomcats have signed in" http ajp
    for at in http ajp; do
        check_status "$at" "starting|up"
        user_at "$at"
        check_protocol "$at"
    done
    check_sticky /
    check_sticky /app/
    answer=$(fetch "$http/app/events.jsp?n=3&ms=10")
    expect "server-sent events" ' 200' '^Content-Type: text/event-stream' '^data: event 3 of 3$'
    check_cut
    check_tls
    check_error_log
    check_bans
    check_countries
    check_crash
    check_another

    echo "$passed passed, $failed failed"
    test "$failed" -eq 0 || echo "configuration and logs are in $run"
    test "$failed" -eq 0
}
