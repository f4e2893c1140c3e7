-- Shared by the scripts that take and give back slots: put before each of them.
--
-- A slot is a member of a sorted set, scored with the millisecond at which its lease ends; its owner renews it. A call's
-- end takes it out, if need be by the process that sees to the dead.
-- A holder needs the slots {key, most} of a list; the first of them names the pool that all compete for, the others are
-- limits of its own (its session's, its client's). Who finds no slot waits in the session's queue of the pool; the
-- sessions that have waiting holders stand in the pool's ring, and each slot that comes free goes to the next session of
-- the ring whose own limits allow it.

local PREFIX = 'exai:'
local GLOBAL = PREFIX .. 'slots:global'
local PROCESSES = PREFIX .. 'processes'
local POOLS = PREFIX .. 'pools' -- those that somebody waits for

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function lives(process, now)
  return tonumber(redis.call('ZSCORE', PROCESSES, process) or 0) > now
end

-- Leases that ran out are only cleared away where they are in the way.
local function is_full(key, most, now)
  if redis.call('ZCARD', key) < most then return false end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key) >= most
end

local function ring_key(pool) return pool .. ':ring' end
local function waiting_key(pool) return pool .. ':waiting' end
local function queue_key(pool, session) return pool .. ':queue:' .. session end

local function has_room(slots, first, now)
  for i = first, #slots do
    if is_full(slots[i][1], slots[i][2], now) then return false end
  end
  return true
end

local function take(id, slots, now, lease_ms)
  for _, slot in ipairs(slots) do redis.call('ZADD', slot[1], now + lease_ms, id) end
end

-- A holder: {id, process, session, slots}.
local function wait(holder)
  local pool = holder.slots[1][1]
  redis.call('HSET', waiting_key(pool), holder.id, cjson.encode(holder))
  if redis.call('RPUSH', queue_key(pool, holder.session), holder.id) == 1 then
    redis.call('RPUSH', ring_key(pool), holder.session)
  end
  redis.call('SADD', POOLS, pool)
end

local function stop_waiting(pool, id, session)
  if redis.call('HDEL', waiting_key(pool), id) == 0 then return end
  redis.call('LREM', queue_key(pool, session), 1, id)
  if redis.call('EXISTS', queue_key(pool, session)) == 0 then redis.call('LREM', ring_key(pool), 0, session) end
end

-- Takes the slots of a holder, or lets it wait: answers 'run', 'wait', or 'full' when too many wait. Nobody overtakes
-- its own session, and none has more than a quarter of the places to wait in: one that asks for ever, though its own
-- limit holds it back, would keep all others out.
local function take_or_wait(holder, now, lease_ms, most_waiting)
  local pool = holder.slots[1][1]
  local queued = redis.call('LLEN', queue_key(pool, holder.session))
  if queued == 0 and has_room(holder.slots, 1, now) then
    take(holder.id, holder.slots, now, lease_ms)
    return 'run'
  end
  if queued >= math.max(1, math.floor(most_waiting / 4)) then return 'full' end
  if redis.call('HLEN', waiting_key(pool)) >= most_waiting then return 'full' end
  wait(holder)
  return 'wait'
end

-- Gives what is free of a pool to who waits, one holder a session and round.
local function grant(pool, now, lease_ms)
  local ring, waiting = ring_key(pool), waiting_key(pool)
  local in_ring, passed_over = redis.call('LLEN', ring), 0
  if in_ring == 0 then return end
  while passed_over < in_ring do
    local session = redis.call('LPOP', ring)
    local queue = queue_key(pool, session)
    local id = redis.call('LINDEX', queue, 0)
    local described = id and redis.call('HGET', waiting, id)
    if not described then
      if id then redis.call('LPOP', queue) end
    else
      local holder = cjson.decode(described)
      if not lives(holder.process, now) then
        redis.call('LPOP', queue)
        redis.call('HDEL', waiting, id)
      elseif is_full(pool, holder.slots[1][2], now) then
        redis.call('LPUSH', ring, session)
        return
      elseif has_room(holder.slots, 2, now) then
        take(id, holder.slots, now, lease_ms)
        redis.call('LPOP', queue)
        redis.call('HDEL', waiting, id)
        redis.call('PUBLISH', PREFIX .. 'process:' .. holder.process, 'granted ' .. id)
        passed_over = 0
      else
        passed_over = passed_over + 1
      end
    end
    if redis.call('EXISTS', queue) == 1 then redis.call('RPUSH', ring, session) end
    in_ring = redis.call('LLEN', ring)
  end
  if in_ring == 0 then redis.call('SREM', POOLS, pool) end
end

-- How long a slot of a pool is held, for a true retry_after; a sample is enough.
local function note_held(pool, held_ms, now)
  if held_ms <= 0 or now % 8 ~= 0 then return end
  local average = tonumber(redis.call('GET', pool .. ':held_ms') or held_ms)
  redis.call('SET', pool .. ':held_ms', average * 0.9 + held_ms * 0.1)
end

-- Reads a list of slots from a function that gives the next argument: their number, then key and most of each.
local function read_slots(argument)
  local slots = {}
  for i = 1, tonumber(argument()) do slots[i] = {argument(), tonumber(argument())} end
  return slots
end
