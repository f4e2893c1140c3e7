-- The caller has the result: its chunks go, the result stays for a repeat. ARGV: call id.

local known = redis.call('HMGET', call_key(ARGV[1]), 'asked', 'bytes')
-- Not at once: another connection may follow the call, and be a moment behind.
redis.call('PEXPIRE', frames_key(ARGV[1]), 5000)
if not known[1] then return end
redis.call('HSET', call_key(ARGV[1]), 'delivered', 1)
if known[2] then redis.call('ZADD', DELIVERED, now_ms(), ARGV[1] .. ' ' .. known[2]) end
if redis.call('HGET', known[1], 'call') == ARGV[1] then redis.call('DEL', known[1]) end
