-- The caller has the result: its chunks go, the result stays for a repeat. ARGV: call id.

local id = ARGV[1]
local known = redis.call('HMGET', call_key(id), 'state', 'asked', 'bytes', 'delivered')
if not known[1] or known[4] then return end
redis.call('HSET', call_key(id), 'delivered', 1)
local asked = redis.call('GET', known[2])
if asked and string.sub(asked, 1, #id + 1) == id .. ' ' then redis.call('DEL', known[2]) end
if known[1] ~= 'ended' then return end

local described = id .. ' ' .. known[3]
local ended_at = redis.call('ZSCORE', KEPT, described)
if not ended_at then return end
-- Not at once: another connection may follow the call, and be a moment behind.
local streamed = redis.call('PEXPIRE', frames_key(id), 5000) == 1
local left = known[3]
if streamed then
  left = redis.call('HSTRLEN', call_key(id), 'result')
  redis.call('HSET', call_key(id), 'bytes', left)
  redis.call('DECRBY', TOTAL, known[3] - left)
end
redis.call('ZREM', KEPT, described)
redis.call('ZADD', DELIVERED, ended_at, id .. ' ' .. left)
