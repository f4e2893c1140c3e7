-- Keeps frames of a running call. ARGV: call id, retention in ms should nothing else end them, place, text.
-- May be repeated: a place that is taken is left as it is. Nothing would ever end what is kept of a call that is not
-- known, since Redis was away when it came or lost what it had, or has ended.

local id = ARGV[1]
if redis.call('HGET', call_key(id), 'state') ~= 'running' then return end
local kept = redis.pcall('XADD', frames_key(id), ARGV[3], 'f', ARGV[4])
if type(kept) ~= 'string' then return end
redis.call('PEXPIRE', frames_key(id), ARGV[2])
redis.call('HINCRBY', call_key(id), 'bytes', #ARGV[4])
redis.call('INCRBY', TOTAL, #ARGV[4])
