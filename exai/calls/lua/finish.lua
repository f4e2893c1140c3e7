-- Ends a call: gives back all that it holds, keeps its result, and lets in who waits. May be repeated.
-- ARGV: what `argument` reads below, in that order. `frames` are those not yet kept, as pairs of a place in the stream
-- and a text; `result` is the result frame. `anew`: the result is no answer, a repeat of the request runs anew.
-- `stays_listed`: its process has something left to do for it, and another is to see to that should this one die.

local MOST_IN_HASH = 4096 -- bytes of frames: few and short ones are not worth a stream

local now, at = now_ms(), 0
local function argument()
  at = at + 1
  return ARGV[at]
end
local id, process, session, slots = argument(), argument(), argument(), read_slots(argument)
local pool = slots[1][1]
local waited, lease_ms, retention_ms = argument(), tonumber(argument()), argument()
local repeated, asked, named, conversation = argument(), argument(), argument(), argument()
local connection = argument()
local anew, stays_listed, held_ms, result = argument(), argument(), tonumber(argument()), argument()
local count = tonumber(argument())

if waited == '1' then stop_waiting(pool, id, session) end
for _, slot in ipairs(slots) do redis.call('ZREM', slot[1], id) end
if conversation ~= '' and redis.call('GET', conversation) == id then redis.call('DEL', conversation) end
if stays_listed ~= '1' then redis.call('HDEL', running_key(process), id) end
note_held(pool, held_ms, now)

local known = redis.call('HMGET', call_key(id), 'state', 'bytes', 'delivered', 'anew', 'names')
-- The process was taken for dead, and the call ended for it: its answer outweighs that. Some of its frames are missing.
local outweighs = known[1] == 'ended' and known[4] and anew ~= '1'
if known[1] == 'ended' and not outweighs then
  grant(pool, now, lease_ms)
  return
end
if not known[1] then
  -- It was let in while Redis was away, and is known from now on.
  redis.call('SET', repeated, id, 'PX', retention_ms, 'NX')
  redis.call('SET', named, id, 'PX', retention_ms, 'NX')
  redis.call('SET', asked, id .. ' ' .. connection, 'PX', retention_ms, 'NX')
  redis.call('HSET', call_key(id), 'process', process, 'asked', asked)
end
if outweighs then
  for _, set in ipairs({DELIVERED, KEPT}) do redis.call('ZREM', set, id .. ' ' .. known[2]) end
  redis.call('DECRBY', TOTAL, known[2])
  redis.call('HDEL', call_key(id), 'anew')
  redis.call('UNLINK', frames_key(id))
  known[2], count = false, 0
end

local last, size = '', #result
for _ = 1, count do
  local place, text = argument(), argument()
  if count == 1 and not known[2] and #text <= MOST_IN_HASH then
    last = text
    size = size + #text
  elseif type(redis.pcall('XADD', frames_key(id), place, 'f', text)) == 'string' then
    size = size + #text
  end
end
local bytes = size + tonumber(known[2] or 0)
redis.call('HSET', call_key(id), 'state', 'ended', 'result', result, 'last', last, 'bytes', bytes)
if anew == '1' then redis.call('HSET', call_key(id), 'anew', 1) end
redis.call('PEXPIRE', call_key(id), retention_ms)
if known[2] or last == '' then redis.call('PEXPIRE', frames_key(id), retention_ms) end
local owners = redis.call('MGET', repeated, named, asked)
if owners[1] == id then redis.call('PEXPIRE', repeated, retention_ms) end
if owners[2] == id then redis.call('PEXPIRE', named, retention_ms) end
for name in string.gmatch(known[5] or '', '%S+') do
  -- By which the same question was asked again.
  if redis.call('GET', name) == id then redis.call('PEXPIRE', name, retention_ms) end
end
if owners[3] and string.sub(owners[3], 1, #id + 1) == id .. ' ' then redis.call('PEXPIRE', asked, retention_ms) end

redis.call('ZADD', known[3] and DELIVERED or KEPT, now, id .. ' ' .. bytes)
redis.call('INCRBY', TOTAL, size)
grant(pool, now, lease_ms)
