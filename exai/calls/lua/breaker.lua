-- Shared by the scripts of breakers: put before each of them, behind slots.lua.
--
-- One hash holds the breakers that are not closed: provider -> JSON {until_ms, trial, trial_until_ms}. What the closed
-- ones count is a list a provider, newest first: the time of a call in ms, negative when it failed.

local BREAKERS = PREFIX .. 'breakers'

local function counted_key(provider) return PREFIX .. 'breaker-calls:' .. provider end

local function breaker_of(provider)
  local written = redis.call('HGET', BREAKERS, provider)
  return written and cjson.decode(written)
end

local function write_breaker(provider, until_ms, trial, trial_until_ms)
  local breaker = {until_ms = until_ms, trial = trial, trial_until_ms = trial_until_ms}
  redis.call('HSET', BREAKERS, provider, cjson.encode(breaker))
end

-- Processes look for themselves: a message that comes late must not bring back what is past.
local function tell_processes(provider, now)
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', PROCESSES, '(' .. now, '+inf')) do
    redis.call('PUBLISH', PREFIX .. 'process:' .. process, 'breaker ' .. provider)
  end
end

local function open_breaker(provider, now, open_ms)
  redis.call('DEL', counted_key(provider))
  write_breaker(provider, now + open_ms, '', 0)
  tell_processes(provider, now)
end

local function close_breaker(provider, now)
  redis.call('DEL', counted_key(provider))
  if redis.call('HDEL', BREAKERS, provider) == 1 then
    tell_processes(provider, now)
    return 1
  end
  return 0
end
