-- The caller has the result: its chunks go, the result stays for a repeat. ARGV: call id.

redis.call('DEL', frames_key(ARGV[1]))
if redis.call('EXISTS', call_key(ARGV[1])) == 1 then
  redis.call('HSET', call_key(ARGV[1]), 'delivered', 1)
  redis.call('ZADD', DELIVERED, now_ms(), ARGV[1])
  local asked = redis.call('HGET', call_key(ARGV[1]), 'asked')
  if asked and redis.call('HGET', asked, 'call') == ARGV[1] then redis.call('DEL', asked) end
end
