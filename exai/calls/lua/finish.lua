-- Ends a call: gives back all that it holds, keeps its result, and lets in who waits. May be repeated.
-- ARGV: what `argument` reads below, in that order; `frames` are those not yet kept, `result` the result frame.

local now, at = now_ms(), 0
local function argument()
  at = at + 1
  return ARGV[at]
end
local call = {id = argument(), process = argument(), session = argument(), client = argument()}
local has_client_slot, waited, lease_ms, retention_ms = argument(), argument(), tonumber(argument()), argument()
local dedup, asked, named, conversation = argument(), argument(), argument(), argument()
local repeatable, held_ms, kept_bytes = argument() == '1', tonumber(argument()), tonumber(argument())
local frames, result = argument(), argument()

if waited == '1' then stop_waiting(call) end
redis.call('ZREM', GLOBAL, call.id)
redis.call('ZREM', session_key(call.session), call.id)
if has_client_slot == '1' then redis.call('ZREM', client_key(call.client), call.id) end
if conversation ~= '' and redis.call('GET', conversation) == call.id then redis.call('DEL', conversation) end
redis.call('HDEL', running_key(call.process), call.id)

-- Ended before, or never let in: nothing to keep.
if redis.call('HGET', call_key(call.id), 'state') ~= 'running' then
  grant(now, lease_ms)
  return
end

if frames ~= '' then redis.call('XADD', frames_key(call.id), '*', 'f', frames) end
redis.call('PEXPIRE', frames_key(call.id), retention_ms)
redis.call('HSET', call_key(call.id), 'state', 'ended', 'result', result, 'bytes', kept_bytes + #frames + #result)
redis.call('PEXPIRE', call_key(call.id), retention_ms)
redis.call('PEXPIRE', named, retention_ms)
if redis.call('HGET', asked, 'call') == call.id then
  -- What is no answer (over capacity, cancelled, abandoned) is asked anew by a repeat.
  redis.call('PEXPIRE', asked, repeatable and 0 or retention_ms)
end
if redis.call('GET', dedup) == call.id then redis.call('PEXPIRE', dedup, repeatable and 0 or retention_ms) end

local size = kept_bytes + #frames + #result
redis.call('ZADD', KEPT, now, call.id .. ' ' .. size)
redis.call('INCRBY', TOTAL, size)

-- How long a slot is held, for a true retry_after; a sample is enough.
if held_ms > 0 and now % 8 == 0 then
  local average = tonumber(redis.call('GET', PREFIX .. 'slots:held_ms') or held_ms)
  redis.call('SET', PREFIX .. 'slots:held_ms', average * 0.9 + held_ms * 0.1)
end
grant(now, lease_ms)
