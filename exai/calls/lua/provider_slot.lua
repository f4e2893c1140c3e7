-- Takes a provider's slot. ARGV: key, most, call id, lease in ms. Answers 1 when it is taken.

local now = now_ms()
if in_use(ARGV[1], now) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', ARGV[1], now + tonumber(ARGV[4]), ARGV[3])
-- Its end is only sent, and may be lost while Redis is away.
redis.call('PEXPIRE', ARGV[1], tonumber(ARGV[4]) * 2)
return 1
