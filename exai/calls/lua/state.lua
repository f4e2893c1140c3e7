-- The kept state of calls, shared by the scripts that write and read it.

local KEPT = PREFIX .. 'kept:ended'          -- ended calls as `id bytes`, scored with the millisecond of their end
local DELIVERED = PREFIX .. 'kept:delivered' -- those of them whose caller has the result, likewise
local TOTAL = PREFIX .. 'kept:bytes'         -- bytes of all

local function call_key(id) return PREFIX .. 'call:' .. id end
local function frames_key(id) return PREFIX .. 'call:' .. id .. ':frames' end
local function running_key(process) return PREFIX .. 'running:' .. process end

local function lives(process, now)
  return tonumber(redis.call('ZSCORE', PROCESSES, process) or 0) > now
end
