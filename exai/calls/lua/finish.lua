-- Ends a call: gives back all that it holds, keeps its result, and lets in who waits.
-- ARGV: one JSON object, the frames not yet kept, the result frame ('' when there is none to keep).

local given = cjson.decode(ARGV[1])
local call, now = given.call, now_ms()
local frames, result = ARGV[2], ARGV[3]

stop_waiting(call)
redis.call('ZREM', GLOBAL, call.id)
redis.call('ZREM', session_key(call.session), call.id)
redis.call('ZREM', client_key(call.client), call.id)
if given.conversation ~= '' and redis.call('GET', given.conversation) == call.id then
  redis.call('DEL', given.conversation)
end
redis.call('HDEL', running_key(call.process), call.id)

if frames ~= '' then redis.call('XADD', frames_key(call.id), '*', 'f', frames) end
redis.call('HSET', call_key(call.id), 'state', 'ended', 'result', result)
redis.call('PEXPIRE', call_key(call.id), given.retention_ms)
redis.call('PEXPIRE', frames_key(call.id), given.retention_ms)
redis.call('PEXPIRE', given.named, given.retention_ms)
for _, key in ipairs({given.dedup, given.asked}) do
  local is_ours = key == given.dedup and redis.call('GET', key) == call.id
    or key == given.asked and redis.call('HGET', key, 'call') == call.id
  if is_ours then
    -- What is no answer (over capacity, cancelled, abandoned) is asked anew by a repeat.
    if given.repeatable then redis.call('DEL', key) else redis.call('PEXPIRE', key, given.retention_ms) end
  end
end

local size = given.frames_bytes + #result
redis.call('ZADD', KEPT, now, call.id)
redis.call('HSET', SIZES, call.id, size)
redis.call('INCRBY', TOTAL, size)

-- How long a slot is held, for a true retry_after.
if given.held_ms > 0 then
  local average = tonumber(redis.call('GET', PREFIX .. 'slots:held_ms') or given.held_ms)
  redis.call('SET', PREFIX .. 'slots:held_ms', average * 0.9 + given.held_ms * 0.1)
end
grant(now, given.lease_ms)
