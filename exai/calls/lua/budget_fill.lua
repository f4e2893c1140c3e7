-- Fills an account from what the ledger says, unless that is done.
-- ARGV: account's key, tokens, nano, ms that it lives, ms until each call that the ledger knows is settled, then the
-- calls that the ledger has counted lately.

local account, counted = ARGV[1], {}
redis.call('DEL', account .. ':filling')
if redis.call('EXISTS', account) == 1 then return end

redis.call('HSET', account, 'tokens', ARGV[2], 'nano', ARGV[3])
redis.call('PEXPIRE', account, ARGV[4])
redis.call('DEL', account .. ':counted')
for at = 6, #ARGV do
  counted[ARGV[at]] = true
  redis.call('SADD', account .. ':counted', ARGV[at])
end
redis.call('PEXPIRE', account .. ':counted', ARGV[5])
for _, entry in ipairs(redis.call('LRANGE', account .. ':pending', 0, -1)) do
  local call, tokens, nano = parts(entry)
  if not counted[call] then
    counted[call] = true
    redis.call('HINCRBY', account, 'tokens', string.format('%.0f', tokens))
    redis.call('HINCRBY', account, 'nano', string.format('%.0f', nano))
  end
end
redis.call('DEL', account .. ':pending')
