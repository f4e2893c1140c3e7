-- Takes a slot of a pool that is no call's, or lets its holder wait. ARGV: lease in ms, most that may wait, then what
-- `argument` reads below. Answers {'run'} | {'wait'} | {'full'}.

local now, lease_ms, at = now_ms(), tonumber(ARGV[1]), 2
local function argument()
  at = at + 1
  return ARGV[at]
end
local holder = {id = argument(), process = argument(), session = argument(), slots = read_slots(argument)}
local pool = holder.slots[1][1]
local standing = take_or_wait(holder, now, lease_ms, tonumber(ARGV[2]))
-- Its end is only sent, and may be lost while Redis is away.
if standing == 'run' then redis.call('PEXPIRE', pool, lease_ms * 2) end
if standing == 'wait' then
  -- Some process may keep one to spare.
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', PROCESSES, now, '+inf')) do
    redis.call('PUBLISH', PREFIX .. 'process:' .. process, 'wanted ' .. pool)
  end
end
return {standing}
