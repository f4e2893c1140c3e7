-- Ends what a call holds, and counts what it came to, once its record is in the ledger.
-- ARGV: the entry held, call id, tokens, nano, 1 when an earlier try may have come through, ms that a filling may take,
-- then the accounts' keys.

local entry, call, tokens, nano, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'

for at = 7, #ARGV do
  local account = ARGV[at]
  redis.call('ZREM', account .. ':held', entry)
  -- Whether it was counted already the ledger knows.
  if again then redis.call('DEL', account) end
  if tokens == '0' and nano == '0' then
    -- nothing to count
  elseif redis.call('EXISTS', account) == 0 then
    -- It may be being filled from a look at the ledger that came too early to see this call.
    redis.call('RPUSH', account .. ':pending', call .. ' ' .. tokens .. ' ' .. nano)
    redis.call('PEXPIRE', account .. ':pending', ARGV[6])
  elseif redis.call('SREM', account .. ':counted', call) == 0 then
    redis.call('HINCRBY', account, 'tokens', tokens)
    redis.call('HINCRBY', account, 'nano', nano)
  end
end
