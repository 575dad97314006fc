# shellcheck shell=bash
# The requests of "build/run --check", which sources this. It uses these
# variables of build/run: http, https (what URLs begin with), run (its
# directory), dir (the build directory), httpd (the program).
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

# In one line: the status, and what the page says about who answered.
saw() {
    awk 'NR == 1 { line = /^HTTP/ ? $1 " " $2 : $0 }
         tolower($1) == "location:" { line = line ", Location " $2 }
         /^(route|connector|scheme|count|body-bytes): / { line = line ", " $1 " " $2 }
         END { print line }' <<<"$answer"
}

value() {
    sed -n "s/^$1: //p" <<<"$answer"
}

check_sticky() {
    local prefix=$1 jar=$run/logs/cookies i first
    rm -f "$jar"
    answer=$(fetch -c "$jar" -b "$jar" "$http$prefix")
    first=$(value route)
    for i in 2 3 4 5; do
        answer=$(fetch -c "$jar" -b "$jar" "$http$prefix")
    done
    expect "balancer, one session, $prefix, 5 times" ' 200' "^route: ${first:-none}\$" "^count: $i\$"
}

check_both_members() {
    local i routes=
    for i in 1 2 3 4 5 6; do
        answer=$(fetch "$http/app/")
        routes="$routes $(value route)"
    done
    answer="answered by:$routes"
    expect "balancer, 6 times without a session" 'http' 'ajp'
}

check_post() {
    local prefix=$1 body=$run/logs/body
    head -c 1048576 /dev/urandom >"$body"
    answer=$(fetch --data-binary "@$body" "$https${prefix}echo.jsp")
    expect "POST of 1 MiB, HTTPS, $prefix" ' 200' '^method: POST$' '^body-bytes: 1048576$' \
        "^body-sha1: $(sha1sum <"$body" | cut -d ' ' -f 1)\$"
    rm -f "$body"
}

# All kinds of redirects, and by both Tomcats where both serve the path.
check_redirects() {
    local prefix=$1 base how
    for base in "$http" "$https"; do
        for how in path path absolute absolute; do
            answer=$(fetch --http1.1 "$base${prefix}redirect.jsp?how=$how")
            expect "redirect ($how), ${base%%:*}, $prefix" ' 302' "^Location: ($base)?${prefix}index.jsp\$"
        done
    done
    answer=$(fetch "$http${prefix}redirect.jsp?how=external")
    expect "redirect elsewhere, $prefix" ' 302' '^Location: https://sso\.example\.org/index\.jsp$'
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

# Who carried the requests to a Tomcat, and how it went. httpd writes the line after
# the answer.
check_access_log() {
    local scheme=$1 i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        answer=$(grep "GET /$scheme/async\\.jsp" "$run/logs/access_log" || echo "no such line")
        test "$answer" = "no such line" || break
        sleep 0.2
    done
    expect "access log, mod_usher_backend, $scheme" " -- $scheme://127\\.0\\.0\\.1:[0-9]+=ok/"
}

# AH01882 is about the versions of the distribution's own packages.
check_error_log() {
    answer=$(grep -E ':(warn|error|crit|alert|emerg)\]' "$run/logs/error_log" | grep -v AH01882 || echo nothing)
    expect "error log, warnings and worse" '^nothing$'
}

run_checks() {
    local failed=0 passed=0 answer prefix
    check_modules
    answer=$(fetch "$http/static/hello.txt")
    expect "static file, HTTP" ' 200' '^Served by httpd itself'
    answer=$(fetch "$https/static/hello.txt")
    expect "static file, HTTPS" ' 200' '^Served by httpd itself'

    answer=$(fetch "$http/http/")
    expect "Tomcat over HTTP" ' 200' '^connector: http$' '^scheme: http$' '^client: 127\.0\.0\.1$'
    answer=$(fetch "$http/ajp/")
    expect "Tomcat over AJP" ' 200' '^connector: ajp$' '^scheme: http$' '^client: 127\.0\.0\.1$'
    answer=$(fetch --http1.1 "$https/http/")
    expect "Tomcat over HTTP, HTTPS" '^HTTP/1.1 200' '^connector: http$' '^scheme: https$'
    answer=$(fetch --http1.1 "$https/ajp/")
    expect "Tomcat over AJP, HTTPS" '^HTTP/1.1 200' '^connector: ajp$' '^scheme: https$'
    if curl -q --version | grep -qw HTTP2; then
        answer=$(fetch --http2 "$https/http/")
        expect "Tomcat over HTTP, HTTP/2" '^HTTP/2 200' '^connector: http$' '^scheme: https$'
        answer=$(fetch --http2 "$https/ajp/")
        expect "Tomcat over AJP, HTTP/2" '^HTTP/2 200' '^connector: ajp$' '^scheme: https$'
    else
        echo "left out: HTTP/2, as this curl cannot"
    fi

    for prefix in http ajp; do
        answer=$(fetch "$http/$prefix/async.jsp?n=3&ms=10")
        expect "an asynchronous servlet, $prefix" ' 200' '^data: event 3 of 3,'
        check_access_log "$prefix"
    done
    check_both_members
    check_sticky /
    check_sticky /app/
    check_post /http/
    check_post /ajp/
    for prefix in / /http/ /ajp/ /app/; do check_redirects "$prefix"; done
    answer=$(fetch "$http/ajp/error.jsp?code=503")
    expect "a status of the application's own" ' 503' '^status: 503$'
    answer=$(fetch "$http/app/events.jsp?n=3&ms=10")
    expect "server-sent events" ' 200' '^Content-Type: text/event-stream' '^data: event 3 of 3$'
    check_error_log

    echo "$passed passed, $failed failed"
    test "$failed" -eq 0 || echo "configuration and logs are in $run"
    test "$failed" -eq 0
}
