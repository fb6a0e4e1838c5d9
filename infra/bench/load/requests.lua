-- Sends the requests of a file, one a line: method, path, headers as "name: value" with bars between, and the body, split
-- by tabs. All are made before the first is sent, so that a request costs the generator next to nothing. With "check" as
-- the second argument it also looks into every answer, and counts those that have GraphQL errors.
local requests = {}
local at = 0
local threads = {}
refused = 0

function setup(thread)
  threads[#threads + 1] = thread
end

local function check(status, headers, body)
  if body:find('"errors":', 1, true) then refused = refused + 1 end
end

function init(args)
  if args[2] == "check" then response = check end
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
  local refusals = 0
  for _, thread in ipairs(threads) do refusals = refusals + thread:get("refused") end
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"failed":%d,"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout + refusals,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
