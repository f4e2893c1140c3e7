-- What is new of a call. ARGV: call id, id of the last stream entry seen.
-- Answers {} for an unknown call, else {state, entries, last frames or '', result or '', whether there are more entries}.

local AT_ONCE = 200
local known = redis.call('HMGET', call_key(ARGV[1]), 'state', 'last', 'result')
if not known[1] then return {} end
local entries = redis.call('XRANGE', frames_key(ARGV[1]), '(' .. ARGV[2], '+', 'COUNT', AT_ONCE)
if #entries == AT_ONCE then return {known[1], entries, '', '', 1} end
return {known[1], entries, known[2] or '', known[3] or '', 0}
