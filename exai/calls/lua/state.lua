-- The kept state of calls, shared by the scripts that write and read it.

local KEPT = PREFIX .. 'kept:ended'          -- ended calls, scored with the millisecond of their end
local DELIVERED = PREFIX .. 'kept:delivered' -- those of them whose caller has the result
local SIZES = PREFIX .. 'kept:sizes'         -- bytes of each
local TOTAL = PREFIX .. 'kept:bytes'         -- of all

local function call_key(id) return PREFIX .. 'call:' .. id end
local function frames_key(id) return PREFIX .. 'call:' .. id .. ':frames' end
local function running_key(process) return PREFIX .. 'running:' .. process end

local function lives(process, now)
  return tonumber(redis.call('ZSCORE', PROCESSES, process) or 0) > now
end

local function forget(id)
  redis.call('DEL', call_key(id), frames_key(id))
  redis.call('ZREM', KEPT, id)
  redis.call('ZREM', DELIVERED, id)
  redis.call('DECRBY', TOTAL, tonumber(redis.call('HGET', SIZES, id) or 0))
  redis.call('HDEL', SIZES, id)
end
