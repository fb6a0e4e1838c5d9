-- Sends the requests of a file, one a line: method, path, headers as JSON-free "name: value" pairs and the body, split
-- by tabs. All are made before the first is sent, so that a request costs the generator next to nothing.
local requests = {}
local at = 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, headers, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local set = {}
    for name, value in headers:gmatch("([^:|]+): ([^|]+)") do set[name] = value end
    requests[#requests + 1] = wrk.format(method, path, set, body ~= "" and body or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"failed":%d,"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
