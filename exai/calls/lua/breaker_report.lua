-- A call to a provider has ended. ARGV: provider, outcome (succeeded | failed | neither), how many succeeded before it
-- and were not told, its trial ('' when it was none), ms to stay open; and the rules: failures in a row, calls of the
-- window, its ms, the share of failures.

local now, provider, outcome, trial = now_ms(), ARGV[1], ARGV[2], ARGV[4]
local open_ms, in_a_row, window = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local breaker = breaker_of(provider)

if trial ~= '' then
  -- A trial that was given up tells nothing any more.
  if not breaker or breaker.trial ~= trial then return end
  if outcome == 'succeeded' then close_breaker(provider, now)
  elseif outcome == 'failed' then open_breaker(provider, now, open_ms)
  else write_breaker(provider, breaker.until_ms, '', 0) end
  return
end
if breaker then return end -- it was under way when the breaker opened

local key, most = counted_key(provider), math.max(in_a_row, window)
local new = {}
for _ = 1, math.min(tonumber(ARGV[3]), most) do new[#new + 1] = now end
if outcome == 'succeeded' then new[#new + 1] = now end
if outcome == 'failed' then new[#new + 1] = -now end
if #new == 0 then return end
redis.call('LPUSH', key, unpack(new))
redis.call('LTRIM', key, 0, most - 1)
redis.call('PEXPIRE', key, 3600000)
if outcome ~= 'failed' then return end

local calls = redis.call('LRANGE', key, 0, most - 1)
local failures, row = 0, 0
for place, call in ipairs(calls) do
  local failed = tonumber(call) < 0
  if failed and place <= window then failures = failures + 1 end
  if failed and row == place - 1 then row = place end
end
local oldest = #calls >= window and math.abs(tonumber(calls[window])) or 0
local too_many = oldest > now - tonumber(ARGV[8]) and failures > tonumber(ARGV[9]) * window
if row >= in_a_row or too_many then open_breaker(provider, now, open_ms) end
