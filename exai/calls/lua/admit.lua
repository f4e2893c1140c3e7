-- Lets a call in, or says why not: buckets, dedup, conversation and slots in one round trip.
-- ARGV: the buckets, then what `argument` reads below, in that order. `stage` is `new`, `queue` for a call that has to
-- queue for its conversation, `again` for one that was taken down before.
-- Answers {'run'} | {'wait'} | {'full'} | {'known', id} | {'conversation'} | {'limited', key, ms}.

local MOST_OF_NAMES = 4096 -- bytes

local now = now_ms()
local retry_ms, bucket = take_tokens(now, ARGV)
if bucket then return {'limited', bucket, retry_ms} end

local at = 1 + tonumber(ARGV[1]) * 3
local function argument()
  at = at + 1
  return ARGV[at]
end
local call = {id = argument(), process = argument(), session = argument(), slots = read_slots(argument)}
local lease_ms, longest_ms, most_waiting = tonumber(argument()), argument(), tonumber(argument())
local repeated, asked, named, connection = argument(), argument(), argument(), argument()
local conversation, stage, description = argument(), argument(), argument()

-- What is kept of an ended call, or comes of one whose process lives, answers a call. What was no answer (over capacity,
-- cancelled, abandoned) does not.
local function answers(id)
  local known = redis.call('HMGET', call_key(id), 'state', 'process', 'anew')
  return known[1] and not known[3] and (known[1] == 'ended' or lives(known[2], now))
end

-- From now on the call is known by this name, too, for as long as anything of it is kept.
local function name_also(id, name)
  local left_ms = redis.call('PTTL', call_key(id)) -- of one that has ended
  if left_ms < 0 then
    left_ms = longest_ms
    -- More names than that only a hostile client gives; they go by their own expiry.
    local names = redis.call('HGET', call_key(id), 'names') or ''
    if #names < MOST_OF_NAMES and not string.find(names, name, 1, true) then
      redis.call('HSET', call_key(id), 'names', names .. name .. ' ')
    end
  end
  redis.call('SET', name, id, 'PX', left_ms)
  return left_ms
end

if stage ~= 'again' then
  local known = redis.call('MGET', repeated, asked)
  if known[1] and answers(known[1]) then
    name_also(known[1], named) -- it may come from another session
    return {'known', known[1]}
  end
  if known[2] then
    local id, asked_by = string.match(known[2], '^(%S+) (%S+)$')
    if asked_by ~= connection and not redis.call('HGET', call_key(id), 'delivered') and answers(id) then
      local connected = tonumber(redis.call('ZSCORE', PREFIX .. 'connections', asked_by) or 0) > now
      if not connected then
        name_also(id, repeated)
        local left_ms = name_also(id, named)
        redis.call('SET', asked, id .. ' ' .. connection, 'PX', left_ms)
        return {'known', id}
      end
    end
  end
  -- Redis may get to this after the call's end: the process gave up waiting for an answer, and went on without.
  if redis.call('HSETNX', call_key(call.id), 'state', 'running') == 0 then return {'known', call.id} end
  -- The expiries are only for what nothing else ends: a call's end sets its own.
  redis.call('SET', repeated, call.id, 'PX', longest_ms)
  redis.call('SET', named, call.id, 'PX', longest_ms)
  redis.call('SET', asked, call.id .. ' ' .. connection, 'PX', longest_ms)
  redis.call('HSET', call_key(call.id), 'process', call.process, 'asked', asked)
  redis.call('HSET', running_key(call.process), call.id, description)
end

if stage == 'queue' then return {'conversation'} end
if conversation ~= '' then
  local owner = redis.call('GET', conversation)
  if owner and owner ~= call.id then return {'conversation'} end
  redis.call('SET', conversation, call.id, 'PX', lease_ms)
end

return {take_or_wait(call, now, lease_ms, most_waiting)}
