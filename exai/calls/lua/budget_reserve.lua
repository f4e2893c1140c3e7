-- Holds what a call may come to, in all its accounts or in none; in place of what it held before.
-- ARGV: lease in ms, ms until Redis is trusted to know what runs, ms that a filling may take, the process, the entry
-- held before ('' none), the new entry, then for each account its key, its limit of tokens and that of nano ('' none).
-- Answers {'held'} | {'exceeded', account's number, unit, settled, held} | {'wait', ms} | {'fill', numbers…}: fill
-- these accounts and ask again; without numbers others do it.

local FIRST = 7  -- of the accounts
local now, lease_ms, process, before, entry = now_ms(), tonumber(ARGV[1]), ARGV[4], ARGV[5], ARGV[6]
local _, tokens, nano = parts(entry)

local missing = {}
for at = FIRST, #ARGV, 3 do
  if redis.call('EXISTS', ARGV[at]) == 0 then table.insert(missing, (at - FIRST) / 3) end
end
if #missing > 0 then
  -- Where Redis has lost everything, what running calls hold comes back with the next sign of life of their processes.
  redis.call('SET', SINCE, string.format('%.0f', now), 'NX')
  local wait = redis.call('GET', SINCE) + ARGV[2] - now
  if wait > 0 then return {'wait', math.ceil(wait)} end
  local answer = {'fill'}
  for _, number in ipairs(missing) do
    local filling = ARGV[FIRST + number * 3] .. ':filling'
    local filler = redis.call('GET', filling)
    if not filler or tonumber(redis.call('ZSCORE', PROCESSES, filler) or 0) <= now then
      redis.call('SET', filling, process, 'PX', ARGV[3])
      table.insert(answer, number)
    end
  end
  return answer
end

local function exceeded(at, unit, limit, wanted, settled, others)
  if limit == '' or wanted == 0 or settled + others + wanted <= tonumber(limit) then return nil end
  return {'exceeded', (at - FIRST) / 3, unit, string.format('%.0f', settled), string.format('%.0f', others)}
end

for at = FIRST, #ARGV, 3 do
  local settled = redis.call('HMGET', ARGV[at], 'tokens', 'nano')
  local held_tokens, held_nano = held(ARGV[at], now, before)
  local refusal = exceeded(at, 'tokens', ARGV[at + 1], tokens, tonumber(settled[1]), held_tokens)
    or exceeded(at, 'usd', ARGV[at + 2], nano, tonumber(settled[2]), held_nano)
  if refusal then return refusal end
end
for at = FIRST, #ARGV, 3 do
  local key = ARGV[at] .. ':held'
  if before ~= '' then redis.call('ZREM', key, before) end
  redis.call('ZADD', key, now + lease_ms, entry)
  redis.call('PEXPIRE', key, lease_ms * 2)
end
return {'held'}
