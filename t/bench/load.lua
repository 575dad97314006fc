-- For wrk: BENCH_FIELDS more fields in each request, and in turns the cookies in the
-- lines of the file BENCH_COOKIES; at the end lines that a program can read.
for i = 1, tonumber(os.getenv("BENCH_FIELDS") or 0) do
    wrk.headers[string.format("X-Bench-Field-%02d", i)] = string.format("value-%02d-of-thirty", i)
end

local file = os.getenv("BENCH_COOKIES") or ""
if file ~= "" then
    local requests, n = {}, 0

    function init()
        for line in io.lines(file) do
            wrk.headers["Cookie"] = line
            requests[#requests + 1] = wrk.format()
        end
    end

    function request()
        n = n % #requests + 1
        return requests[n]
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format("BENCH %d %d", summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
    for _, share in ipairs({50, 99}) do
        print(string.format("WITHIN %d %.3f", share, latency:percentile(share) / 1000))
    end
end
