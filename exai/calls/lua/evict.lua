-- Keeps the kept state within its bounds. ARGV: retention in ms, most bytes. At most some hundred calls a run, so that
-- nobody waits for it; answers 1 when there is more to do.

local AT_ONCE = 300
local now, most = now_ms(), tonumber(ARGV[2])

local function forget(set, described)
  local id, bytes = string.match(described, '^(%S+) (%d+)$')
  redis.call('UNLINK', call_key(id), frames_key(id))
  if redis.call('ZREM', set, described) == 1 then redis.call('DECRBY', TOTAL, bytes) end
end

local forgotten = 0
for _, set in ipairs({DELIVERED, KEPT}) do
  local expired = redis.call('ZRANGEBYSCORE', set, '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, AT_ONCE)
  for _, described in ipairs(expired) do forget(set, described) end
  forgotten = forgotten + #expired
end
while forgotten < AT_ONCE and tonumber(redis.call('GET', TOTAL) or 0) > most do
  local set = redis.call('ZCARD', DELIVERED) > 0 and DELIVERED or KEPT
  local oldest = redis.call('ZRANGE', set, 0, 0)[1]
  if not oldest then return 0 end -- what is left belongs to running calls
  forget(set, oldest)
  forgotten = forgotten + 1
end
return forgotten >= AT_ONCE and 1 or 0
