-- Shared by the scripts that take and give back slots: put before each of them.
--
-- A slot is a member of a sorted set, scored with the millisecond at which its lease ends; its owner renews it. A call's
-- end takes it out, if need be by the process that sees to the dead, so the sets need no expiry of their own.
-- A call that finds no slot waits in its session's queue; the sessions that have waiting calls stand in a ring, and
-- each slot that comes free goes to the next session of the ring whose own limits allow it.

local PREFIX = 'exai:'
local RING = PREFIX .. 'waiting:ring'
local WAITING = PREFIX .. 'waiting:calls'
local GLOBAL = PREFIX .. 'slots:global'
local PROCESSES = PREFIX .. 'processes'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function in_use(key, now)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end

local function session_key(session) return PREFIX .. 'slots:session:' .. session end
local function client_key(client) return PREFIX .. 'slots:client:' .. client end
local function queue_key(session) return PREFIX .. 'waiting:queue:' .. session end

-- A call: {id, process, session, client, global_limit, session_limit, client_limit}; a limit of 0 is none.
local function has_room(call, now)
  if in_use(session_key(call.session), now) >= call.session_limit then return false end
  if call.client_limit > 0 and in_use(client_key(call.client), now) >= call.client_limit then return false end
  return true
end

local function take(call, now, lease_ms)
  local ends = now + lease_ms
  redis.call('ZADD', GLOBAL, ends, call.id)
  redis.call('ZADD', session_key(call.session), ends, call.id)
  if call.client_limit > 0 then redis.call('ZADD', client_key(call.client), ends, call.id) end
end

local function wait(call)
  redis.call('HSET', WAITING, call.id, cjson.encode(call))
  if redis.call('RPUSH', queue_key(call.session), call.id) == 1 then
    redis.call('RPUSH', RING, call.session)
  end
end

local function stop_waiting(call)
  if redis.call('HDEL', WAITING, call.id) == 0 then return end
  redis.call('LREM', queue_key(call.session), 1, call.id)
  if redis.call('EXISTS', queue_key(call.session)) == 0 then redis.call('LREM', RING, 0, call.session) end
end

-- Gives what is free to who waits, one call a session and round.
local function grant(now, lease_ms)
  local passed_over = 0
  while passed_over < redis.call('LLEN', RING) do
    local session = redis.call('LPOP', RING)
    local queue = queue_key(session)
    local id = redis.call('LINDEX', queue, 0)
    local described = id and redis.call('HGET', WAITING, id)
    if not described then
      if id then redis.call('LPOP', queue) end
    else
      local call = cjson.decode(described)
      local lives = tonumber(redis.call('ZSCORE', PROCESSES, call.process) or 0) > now
      if not lives then
        redis.call('LPOP', queue)
        redis.call('HDEL', WAITING, id)
      elseif in_use(GLOBAL, now) >= call.global_limit then
        redis.call('LPUSH', RING, session)
        return
      elseif has_room(call, now) then
        take(call, now, lease_ms)
        redis.call('LPOP', queue)
        redis.call('HDEL', WAITING, id)
        redis.call('PUBLISH', PREFIX .. 'process:' .. call.process, 'granted ' .. id)
        passed_over = 0
      else
        passed_over = passed_over + 1
      end
    end
    if redis.call('EXISTS', queue) == 1 then redis.call('RPUSH', RING, session) end
  end
end
