-- Closes a provider's breaker and forgets what it counted. ARGV: provider. Answers 1 when it was not closed.

return close_breaker(ARGV[1], now_ms())
