-- Token buckets, shared by the scripts that let frames in. ARGV of the script begins with their description:
-- the number of buckets, then for each its key, its capacity and its refill in tokens a second.

local function take_tokens(now, argv)
  local count = tonumber(argv[1])
  local buckets = {}
  for i = 1, count do
    local at = 2 + (i - 1) * 3
    local key, capacity, refill = argv[at], tonumber(argv[at + 1]), tonumber(argv[at + 2])
    local stored = redis.call('HMGET', key, 'tokens', 'at')
    local tokens = capacity
    if stored[1] then
      tokens = math.min(capacity, tonumber(stored[1]) + (now - tonumber(stored[2])) * refill / 1000)
    end
    if tokens < 1 then
      return math.ceil((1 - tokens) * 1000 / refill), key
    end
    buckets[i] = {key, tokens - 1, math.ceil(capacity * 1000 / refill) + 1000}
  end
  for i = 1, count do
    local bucket = buckets[i]
    redis.call('HSET', bucket[1], 'tokens', bucket[2], 'at', now)
    redis.call('PEXPIRE', bucket[1], bucket[3])
  end
  return 0, nil
end
