-- The breakers that are not closed: provider, ms until it is half-open, and so on.

local now, listed = now_ms(), {}
for place, part in ipairs(redis.call('HGETALL', BREAKERS)) do
  listed[place] = place % 2 == 1 and part or math.max(0, cjson.decode(part).until_ms - now)
end
return listed
