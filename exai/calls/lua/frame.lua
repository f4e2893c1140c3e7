-- One token of each bucket for a frame that is no call. ARGV: the buckets. Answers {} or {key, ms to wait}.

local retry_ms, bucket = take_tokens(now_ms(), ARGV)
if bucket then return {bucket, retry_ms} end
return {}
