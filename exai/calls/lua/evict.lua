-- Keeps the kept state within its bounds. ARGV: retention in ms, most bytes. At most 500 calls a run.

local now, most = now_ms(), tonumber(ARGV[2])

local function forget(described)
  local id, bytes = string.match(described, '^(%S+) (%d+)$')
  redis.call('UNLINK', call_key(id), frames_key(id))
  redis.call('ZREM', DELIVERED, described)
  if redis.call('ZREM', KEPT, described) == 1 then redis.call('DECRBY', TOTAL, bytes) end
end

local expired = redis.call('ZRANGEBYSCORE', KEPT, '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, 500)
for _, described in ipairs(expired) do forget(described) end
for _ = 1, 500 do
  if tonumber(redis.call('GET', TOTAL) or 0) <= most then break end
  local described = redis.call('ZRANGE', DELIVERED, 0, 0)[1] or redis.call('ZRANGE', KEPT, 0, 0)[1]
  if not described then break end
  forget(described)
end
