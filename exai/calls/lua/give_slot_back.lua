-- Gives back a slot of a pool, or its holder's place in the queue. ARGV: lease in ms, pool, holder, session, whether
-- the holder waited, ms for which it was held.

local now = now_ms()
if ARGV[5] == '1' then stop_waiting(ARGV[2], ARGV[3], ARGV[4]) end
redis.call('ZREM', ARGV[2], ARGV[3])
note_held(ARGV[2], tonumber(ARGV[6]), now)
grant(ARGV[2], now, tonumber(ARGV[1]))
