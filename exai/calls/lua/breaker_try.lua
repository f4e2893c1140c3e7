-- May a call go to a provider whose breaker was not closed? ARGV: provider, an id for the trial, ms that it may take.
-- Answers 'closed', 'trial' (it is one, under that id), or the ms after which to ask again.

local now = now_ms()
local breaker = breaker_of(ARGV[1])
if not breaker then return 'closed' end
if now < breaker.until_ms then return breaker.until_ms - now end
if now < breaker.trial_until_ms then return breaker.trial_until_ms - now end
write_breaker(ARGV[1], breaker.until_ms, ARGV[2], now + tonumber(ARGV[3]))
return 'trial'
