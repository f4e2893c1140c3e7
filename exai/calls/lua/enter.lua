-- Lets a connection in. ARGV: its id, lease in ms, most in all, its address's key ('' exempt), most of that address.
-- Answers '' or which limit is reached: 'all' or 'address'.

local now, ends = now_ms(), now_ms() + tonumber(ARGV[2])
local all = PREFIX .. 'connections'
if in_use(all, now) >= tonumber(ARGV[3]) then return 'all' end
if ARGV[4] ~= '' then
  if in_use(ARGV[4], now) >= tonumber(ARGV[5]) then return 'address' end
  redis.call('ZADD', ARGV[4], ends, ARGV[1])
  redis.call('PEXPIRE', ARGV[4], tonumber(ARGV[2]) * 2)
end
redis.call('ZADD', all, ends, ARGV[1])
return ''
