-- What is new of a call. ARGV: call id, id of the last stream entry seen.
-- Answers {} for an unknown call, else {state, whether its process lives, result or '', entries}.

local now = now_ms()
local known = redis.call('HMGET', call_key(ARGV[1]), 'state', 'process', 'result')
if not known[1] then return {} end
local entries = redis.call('XRANGE', frames_key(ARGV[1]), '(' .. ARGV[2], '+')
return {known[1], lives(known[2], now) and 1 or 0, known[3] or '', entries}
