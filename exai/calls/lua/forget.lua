-- Drops what was kept of a call that never was let in. ARGV: call id.

local known = redis.call('HMGET', call_key(ARGV[1]), 'state', 'bytes')
redis.call('UNLINK', frames_key(ARGV[1]))
if known[2] and not known[1] then
  redis.call('DEL', call_key(ARGV[1]))
  redis.call('DECRBY', TOTAL, known[2])
end
