-- Lets a call in, or says why not: buckets, dedup, conversation and slots in one round trip.
-- ARGV: the buckets, then what `argument` reads below, in that order.
-- Answers {'run'} | {'wait'} | {'known', id} | {'conversation'} | {'limited', key, ms}.

local MOST_SESSIONS = 16  -- that a request_id is remembered for

local now = now_ms()
local retry_ms, bucket = take_tokens(now, ARGV)
if bucket then return {'limited', bucket, retry_ms} end

local at = 1 + tonumber(ARGV[1]) * 3
local function argument()
  at = at + 1
  return ARGV[at]
end
local call = {
  id = argument(), process = argument(), session = argument(), client = argument(),
  global_limit = tonumber(argument()), session_limit = tonumber(argument()), client_limit = tonumber(argument()),
}
local lease_ms, longest_ms = tonumber(argument()), argument()
local dedup, asked_key, named, connection = argument(), argument(), argument(), argument()
local conversation, only_known, description = argument(), argument(), argument()

-- A call that ended, or whose process lives, is answered from what is kept of it; one of a dead process runs anew.
local function answers_for(id)
  local known = redis.call('HMGET', call_key(id), 'state', 'process')
  return known[1] and (known[1] == 'ended' or lives(known[2], now))
end

local known = redis.call('GET', dedup)
if known and answers_for(known) then return {'known', known} end

local asked = redis.call('HMGET', asked_key, 'call', 'connection')
if asked[1] and asked[2] ~= connection then
  local connected = tonumber(redis.call('ZSCORE', PREFIX .. 'connections', asked[2]) or 0) > now
  local delivered = redis.call('HGET', call_key(asked[1]), 'delivered')
  if not connected and not delivered and answers_for(asked[1]) then return {'known', asked[1]} end
end

if only_known == '1' then return {'conversation'} end
if conversation ~= '' then
  local owner = redis.call('GET', conversation)
  if owner and owner ~= call.id then return {'conversation'} end
  redis.call('SET', conversation, call.id, 'PX', lease_ms)
end

-- What is without an expiry here gets one by the call's end, which comes even when its process dies.
redis.call('SET', dedup, call.id, 'PX', longest_ms)
redis.call('HSET', asked_key, 'call', call.id, 'connection', connection)
redis.call('PERSIST', asked_key)
-- Clients that make up a session for each connection would let this grow for ever.
if redis.call('HLEN', named) >= MOST_SESSIONS then redis.call('DEL', named) end
redis.call('HSET', named, call.session, call.id)
redis.call('PERSIST', named)
redis.call('HSET', call_key(call.id), 'state', 'running', 'process', call.process, 'asked', asked_key)
redis.call('HSET', running_key(call.process), call.id, description)

local queued = redis.call('EXISTS', queue_key(call.session)) == 1
if not queued and in_use(GLOBAL, now) < call.global_limit and has_room(call, now) then
  take(call, now, lease_ms)
  return {'run'}
end
wait(call)
return {'wait'}
