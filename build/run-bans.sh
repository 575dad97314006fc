# shellcheck shell=bash
# Bans and countries in "build/run", which sources this: what its configuration has of them, and the
# requests of "build/run --check". Uses variables of build/run and functions of build/run-checks.sh.
# shellcheck disable=SC2154

# A database of countries in which addresses of this machine are abroad.
# @return 1: there is none, as mod_usher_geo or MaxMind's writer is missing
make_countries() {
    test -e "$dir/.libs/mod_usher_geo.so" || return 1
    perl -I "$usher_srcdir/t/lib" -MUsher::MMDB -e 'Usher::MMDB::make($ARGV[0], "country")' "$run/countries.mmdb" \
        >"$run/logs/countries.log" 2>&1
}

# The rule bans at once; usually one looks first whom it would ban.
ban_conf() {
    cat <<END
# Who asks for this a fourth time within a minute is banned. 127.0.0.1 itself never is, but the other
# addresses of this machine can be, to try it out.
UsherBanNever -loopback 127.0.0.1
UsherBanRule wp path=^/wp-login\\.php status=404 max=3 within=1m for=10m mode=enforce
UsherRegisterPolicy guards bans
<Location /usher-ban>
    SetHandler usher-ban
    Require local
</Location>
END
    if test -e "$run/countries.mmdb"; then
        cat <<END
# By this database 127.0.0.2 is in Japan, 127.0.0.4 in Germany.
UsherGeoDatabase countries $run/countries.mmdb
<Location /static/japan.txt>
    Require usher-country JP
</Location>
END
    fi
}

country_hints() {
    test -e "$run/countries.mmdb" || return 0
    cat <<END
  curl -4 --interface 127.0.0.2 $http/static/japan.txt
      a page for Japan, by a small database in which 127.0.0.2 is there; 127.0.0.4 is in
      Germany and does not get it
END
}

# from ADDRESS URL: a request that comes from this address
from() {
    fetch -4 --interface "$1" "$2"
}

# Until the answer to a client has such a line; httpd counts after the answer.
from_until() {
    local address=$1 pattern=$2 i
    for i in {1..50}; do
        answer=$(from "$address" "$http/static/hello.txt")
        if grep -Eq -- "$pattern" <<<"$answer"; then break; fi
        test "$i" -eq 50 || sleep 0.2
    done
}

check_bans() {
    local _ bans=("$usherctl" bans --url "$http/usher-ban")
    for _ in 1 2 3; do
        from 127.0.0.9 "$http/wp-login.php" >"$run/logs/wp-login"
    done
    answer=$(from 127.0.0.9 "$http/static/hello.txt")
    expect "three times: nobody is banned" ' 200'
    from 127.0.0.9 "$http/wp-login.php" >"$run/logs/wp-login"
    from_until 127.0.0.9 '^curl: '
    expect "once more: banned, the door is closed" '^curl: \((52|56)\)'
    answer=$(from 127.0.0.8 "$http/static/hello.txt")
    expect "its neighbour is not" ' 200'
    answer=$("${bans[@]}" explain 127.0.0.9 2>&1)
    expect "usherctl bans explain: why" '^127\.0\.0\.9: is banned$' '^  name +wp$' '^  events +4$'
    answer=$("${bans[@]}" --key "$run/register.keys:operator" remove 127.0.0.9 2>&1)
    expect "usherctl bans remove" '^127\.0\.0\.9: is free'
    from_until 127.0.0.9 ' 200'
    expect "it comes in again" ' 200'
}

check_countries() {
    test -e "$run/countries.mmdb" || return 0
    answer=$(from 127.0.0.2 "$http/static/japan.txt")
    expect "Require usher-country JP: from Japan" ' 200' '^For Japan'
    answer=$(from 127.0.0.4 "$http/static/japan.txt")
    expect "from Germany" ' 403'
}
