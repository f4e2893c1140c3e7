-- Token buckets, shared by the scripts that let frames in. ARGV of the script begins with their description:
-- the number of buckets, then for each its key, its capacity and its refill in tokens a second. A bucket is kept as
-- its tokens and the millisecond at which it had them.

local function take_tokens(now, argv)
  local count = tonumber(argv[1])
  local buckets = {}
  for i = 1, count do
    local at = 2 + (i - 1) * 3
    local key, capacity, refill = argv[at], tonumber(argv[at + 1]), tonumber(argv[at + 2])
    local stored = redis.call('GET', key)
    local tokens = capacity
    if stored then
      local separator = string.find(stored, ' ', 1, true)
      local left, at_ms = string.sub(stored, 1, separator - 1), string.sub(stored, separator + 1)
      tokens = math.min(capacity, left + math.max(0, now - at_ms) * refill / 1000)
    end
    if tokens < 1 then
      return math.ceil((1 - tokens) * 1000 / refill), key
    end
    buckets[i] = {key, tokens - 1, math.ceil(capacity * 1000 / refill) + 1000}
  end
  for i = 1, count do
    local bucket = buckets[i]
    redis.call('SET', bucket[1], string.format('%.3f %.0f', bucket[2], now), 'PX', bucket[3])
  end
  return 0, nil
end
