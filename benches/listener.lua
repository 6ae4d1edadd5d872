-- Requests of events that all differ: `wrk … -s listener.lua URL -- EVENTS KEYS PER_BODY FIRST_KEY`.
-- After every pass over the file another app's key is used, to which the same events are new.
local bodies, heads = {}, {}
local at, key = 0, 1

function init(args)
  local lines = {}
  for line in io.lines(args[1]) do
    lines[#lines + 1] = line
    if #lines == tonumber(args[3]) then
      bodies[#bodies + 1] = table.concat(lines, "\n")
      lines = {}
    end
  end
  for name in io.lines(args[2]) do
    heads[#heads + 1] = "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
      .. name .. "\r\nContent-Type: application/x-ndjson\r\nContent-Length: "
  end
  key = tonumber(args[4])
end

function request()
  at = at + 1
  if at > #bodies then
    at = 1
    key = key % #heads + 1
  end
  return heads[key] .. #bodies[at] .. "\r\n\r\n" .. bodies[at]
end
