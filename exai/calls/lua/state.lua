-- The kept state of calls, shared by the scripts that write and read it.
--
-- Of a call there is a hash (state, process, result, its size in bytes, …) and, where there is much to keep, a stream
-- of its frames. An ended call stands in one of two sorted sets as `id bytes`, scored with the millisecond of its end.

local KEPT = PREFIX .. 'kept:ended'
local DELIVERED = PREFIX .. 'kept:delivered' -- those whose caller has the result
local TOTAL = PREFIX .. 'kept:bytes'         -- bytes of all, of running calls too

local function call_key(id) return PREFIX .. 'call:' .. id end
local function frames_key(id) return PREFIX .. 'call:' .. id .. ':frames' end
local function running_key(process) return PREFIX .. 'running:' .. process end
