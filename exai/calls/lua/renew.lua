-- A process's sign of life: renews its own lease and those of its calls and connections, and grants what came free.
-- ARGV: process, lease in ms, reaper's lease in ms, JSON list of its calls, JSON list of its connections' ids.
-- Answers the processes found dead, to the one process that is to see to them.

local now, process, lease_ms = now_ms(), ARGV[1], tonumber(ARGV[2])
local ends = now + lease_ms
redis.call('ZADD', PROCESSES, ends, process)

for _, held in ipairs(cjson.decode(ARGV[4])) do
  -- A living call's slots are put back should they have run out: its process was only slow.
  for _, key in ipairs(held.slots) do
    redis.call('ZADD', key, ends, held.id)
    if key ~= GLOBAL then redis.call('PEXPIRE', key, lease_ms * 2) end
  end
  if held.conversation ~= '' then
    local owner = redis.call('GET', held.conversation)
    if not owner or owner == held.id then redis.call('SET', held.conversation, held.id, 'PX', lease_ms) end
  end
end
for _, connection in ipairs(cjson.decode(ARGV[5])) do
  redis.call('ZADD', PREFIX .. 'connections', ends, connection.id)
  if connection.address_key ~= '' then
    redis.call('ZADD', connection.address_key, ends, connection.id)
    redis.call('PEXPIRE', connection.address_key, lease_ms * 2)
  end
end

-- After an outage of Redis itself all leases have run out, of the living too: they get the time to renew them.
local last_beat = tonumber(redis.call('GET', PREFIX .. 'last-beat') or 0)
redis.call('SET', PREFIX .. 'last-beat', now)
if now - last_beat > lease_ms / 2 then
  redis.call('SET', PREFIX .. 'reaper', process, 'PX', lease_ms)
  return {}
end
for _, pool in ipairs(redis.call('SMEMBERS', POOLS)) do
  grant(pool, now, lease_ms)
  if redis.call('EXISTS', ring_key(pool)) == 1 then
    redis.call('PUBLISH', PREFIX .. 'process:' .. process, 'wanted ' .. pool)
  end
end
if not redis.call('SET', PREFIX .. 'reaper', process, 'NX', 'PX', ARGV[3]) then return {} end
redis.call('ZREMRANGEBYSCORE', PREFIX .. 'connections', '-inf', now)
return redis.call('ZRANGEBYSCORE', PROCESSES, '-inf', now)
