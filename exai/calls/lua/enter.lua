-- Lets a connection in. ARGV: its id, lease in ms, most in all, its address's key ('' exempt), most of that address.
-- Answers '' or which limit is reached: 'all' or 'address'.

local now, ends = now_ms(), now_ms() + tonumber(ARGV[2])
local all = PREFIX .. 'connections'
if is_full(all, tonumber(ARGV[3]), now) then return 'all' end
if ARGV[4] ~= '' then
  if is_full(ARGV[4], tonumber(ARGV[5]), now) then return 'address' end
  redis.call('ZADD', ARGV[4], ends, ARGV[1])
  redis.call('PEXPIRE', ARGV[4], tonumber(ARGV[2]) * 2)
end
redis.call('ZADD', all, ends, ARGV[1])
return ''
