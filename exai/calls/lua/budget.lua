-- Budgets, shared by the scripts that reserve, settle and fill; put behind slots.lua.
--
-- An account is what a client or a workspace spends in a day or a month: a hash of what is settled, as `tokens` and
-- `nano` (billionths of a dollar). It is filled from the ledger; while it is missing nothing is known, which is not 0.
-- Beside it stand
--   :held     what running calls may still come to: a sorted set of `call tokens nano`, scored with the millisecond at
--             which the lease ends. A process renews those of its calls as it does slots, so that Redis may lose them.
--   :counted  calls that the ledger told of when the account was filled, though their settling is still to come
--   :pending  what was settled while the account was missing, as `call tokens nano`
--   :filling  held by the process that fills the account
-- Sums are exact up to 2^53: nine million dollars.

local SINCE = PREFIX .. 'budget:since'  -- since when Redis remembers budgets

local function parts(entry)
  local call, tokens, nano = string.match(entry, '^(%S+) (%d+) (%d+)$')
  return call, tonumber(tokens), tonumber(nano)
end

local function held(account, now, but)
  local key, tokens, nano = account .. ':held', 0, 0
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, entry in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if entry ~= but then
      local _, entry_tokens, entry_nano = parts(entry)
      tokens, nano = tokens + entry_tokens, nano + entry_nano
    end
  end
  return tokens, nano
end
