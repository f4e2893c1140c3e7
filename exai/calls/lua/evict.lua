-- Keeps the kept state within its bounds. ARGV: retention in ms, most bytes. At most 500 calls a run.

local now, most = now_ms(), tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEPT, '-inf', now - tonumber(ARGV[1]), 'LIMIT', 0, 500)) do forget(id) end
for _ = 1, 500 do
  if tonumber(redis.call('GET', TOTAL) or 0) <= most then break end
  local id = redis.call('ZRANGE', DELIVERED, 0, 0)[1] or redis.call('ZRANGE', KEPT, 0, 0)[1]
  if not id then break end
  forget(id)
end
