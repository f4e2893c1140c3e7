-- Lets a call in, or says why not: buckets, dedup, conversation and slots in one round trip.
-- ARGV: the buckets, then one JSON object. Answers {'run'} | {'wait'} | {'known', id} | {'conversation'} | {'limited', key, ms}.

local now = now_ms()
local retry_ms, bucket = take_tokens(now, ARGV)
if bucket then return {'limited', bucket, retry_ms} end

local given = cjson.decode(ARGV[#ARGV])
local call = given.call

-- A call that ended, or whose process lives, is answered from what is kept of it; one of a dead process runs anew.
local function answers_for(id)
  local known = redis.call('HMGET', call_key(id), 'state', 'process')
  return known[1] and (known[1] == 'ended' or lives(known[2], now))
end

local known = redis.call('GET', given.dedup)
if known and answers_for(known) then return {'known', known} end

local asked = redis.call('HMGET', given.asked, 'call', 'connection')
if asked[1] and asked[2] ~= given.connection then
  local connected = tonumber(redis.call('ZSCORE', PREFIX .. 'connections', asked[2]) or 0) > now
  local delivered = redis.call('HGET', call_key(asked[1]), 'delivered')
  if not connected and not delivered and answers_for(asked[1]) then return {'known', asked[1]} end
end

if given.only_known then return {'conversation'} end
if given.conversation ~= '' then
  local owner = redis.call('GET', given.conversation)
  if owner and owner ~= call.id then return {'conversation'} end
  redis.call('SET', given.conversation, call.id, 'PX', given.lease_ms)
end

local ttl = given.longest_ms
redis.call('SET', given.dedup, call.id, 'PX', ttl)
redis.call('HSET', given.asked, 'call', call.id, 'connection', given.connection)
redis.call('PEXPIRE', given.asked, ttl)
redis.call('HSET', given.named, call.session, call.id)
redis.call('PEXPIRE', given.named, ttl)
redis.call('HSET', call_key(call.id), 'state', 'running', 'process', call.process, 'asked', given.asked)
redis.call('PEXPIRE', call_key(call.id), ttl)
redis.call('HSET', running_key(call.process), call.id, given.description)

local queued = redis.call('EXISTS', queue_key(call.session)) == 1
if not queued and in_use(GLOBAL, now) < call.global_limit and has_room(call, now) then
  take(call, now, given.lease_ms)
  return {'run'}
end
wait(call)
return {'wait'}
