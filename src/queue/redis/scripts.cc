#include "queue/redis/scripts.h"

namespace ez::queue::redis {

// A window of ids has two generations, so that forgetting costs nothing: when the younger one is full it
// replaces the older.
const std::string_view kPublishScript = R"lua(
local base = KEYS[1]
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local turns, turn = base .. 'turn:' .. ARGV[3], tonumber(ARGV[4])
if turn > 0 and tonumber(redis.call('GET', turns) or '0') ~= turn - 1 then
  return redis.error_reply('OUTOFTURN a batch before this one was refused')
end
local queues = redis.call('SMEMBERS', base .. 'queues')
if #queues == 0 then return redis.error_reply('NOTOPIC the topic has no queue') end
local ids, before = base .. 'ids', base .. 'ids-before'
-- A batch that made the topic full, and comes again because its answer was lost, is no new one.
local function known()
  local i = 5
  while i <= #ARGV do
    local id = ARGV[i]
    if redis.call('SISMEMBER', ids, id) + redis.call('SISMEMBER', before, id) == 0 then return false end
    i = i + 5 + tonumber(ARGV[i + 4])
  end
  return true
end
for _, q in ipairs(queues) do
  local waiting = 0
  for lane = 0, 5 do waiting = waiting + redis.call('XLEN', base .. q .. ':' .. lane) end
  if waiting >= limit and not known() then
    -- Its callers are told, and it is not sent again: nothing waits for it.
    if turn > 0 then redis.call('SET', turns, turn, 'EX', 300) end
    return redis.error_reply('FULL ' .. waiting .. ' messages wait')
  end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local out, count, bytes = {}, 0, 0
local i = 5
while i <= #ARGV do
  local id, lane, delay, size = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local from, to = i + 5, i + 4 + tonumber(ARGV[i + 4])
  i = to + 1
  if redis.call('SADD', ids, id) == 0 or redis.call('SISMEMBER', before, id) == 1 then
    out[#out + 1] = '0'
  else
    out[#out + 1] = '1'
    count = count + 1
    bytes = bytes + size
    if delay > 0 then
      local seq = redis.call('INCR', base .. 'seq')
      redis.call('HSET', base .. 'delayed', seq, cmsgpack.pack({lane, unpack(ARGV, from, to)}))
      redis.call('ZADD', base .. 'delay', now + delay, seq)
    else
      for _, q in ipairs(queues) do
        local added = redis.pcall('XADD', base .. q .. ':' .. lane, '*', unpack(ARGV, from, to))
        if type(added) == 'table' and added.err then
          redis.call('SREM', ids, id)
          return redis.error_reply(added.err)
        end
      end
    end
  end
end
if turn > 0 then redis.call('SET', turns, turn, 'EX', 300) end
if redis.call('SCARD', ids) > window then redis.call('RENAME', ids, before) end
redis.call('HINCRBY', base .. 'stats', 'published', count)
for _, q in ipairs(queues) do redis.call('HINCRBY', base .. 'stats', 'bytes:' .. q, bytes) end
redis.call('PUBLISH', base .. 'wake', '1')
return table.concat(out)
)lua";

// What a transaction that was none has left behind (docs/adr/0065). A stream that was made meanwhile stays,
// and the other is kept aside.
#define EZ_PUT_BACK                                                                        \
  "local function put_back(queue, lane)\n"                                                 \
  "  local open = KEYS[1] .. 'open:' .. lane\n"                                            \
  "  if redis.call('EXISTS', open) == 0 then return end\n"                                 \
  "  local kept = redis.call('EXISTS', queue .. lane) == 1\n"                              \
  "  redis.call('RENAME', open, kept and KEYS[1] .. 'stayed:' .. lane or queue .. lane)\n" \
  "end\n"

const std::string_view kOpenScript = EZ_PUT_BACK R"lua(
local base, lanes = KEYS[1], ARGV[4]
local queues = redis.call('SMEMBERS', base .. 'queues')
if #queues ~= 1 then return 0 end
local queue, waiting = base .. queues[1] .. ':', 0
for lane = 0, 5 do waiting = waiting + redis.call('XLEN', queue .. lane) end
if waiting >= tonumber(ARGV[2]) then return 0 end
local ids, before = base .. 'ids', base .. 'ids-before'
for _, window in ipairs({ids, before}) do
  for _, known in ipairs(redis.call('SMISMEMBER', window, unpack(ARGV, 5))) do
    if known == 1 then return 0 end
  end
end
for lane in string.gmatch(lanes, '%d') do
  put_back(queue, lane)
  if redis.call('EXISTS', queue .. lane) == 0 then return 0 end
end
for lane in string.gmatch(lanes, '%d') do redis.call('RENAME', queue .. lane, base .. 'open:' .. lane) end
redis.call('SADD', ids, unpack(ARGV, 5))
if redis.call('SCARD', ids) > tonumber(ARGV[1]) then redis.call('RENAME', ids, before) end
redis.call('HINCRBY', base .. 'stats', 'published', #ARGV - 4)
redis.call('HINCRBY', base .. 'stats', 'bytes:' .. queues[1], ARGV[3])
return 1
)lua";

const std::string_view kCloseScript = R"lua(
local base, q = KEYS[1], redis.call('SMEMBERS', KEYS[1] .. 'queues')[1]
local closed = 0
for lane in string.gmatch(q and ARGV[1] or '', '%d') do
  local open = base .. 'open:' .. lane
  if redis.call('EXISTS', open) == 1 then
    closed = closed + redis.call('RENAMENX', open, base .. q .. ':' .. lane)
  end
end
if closed > 0 then redis.call('PUBLISH', base .. 'wake', '1') end
return closed
)lua";

const std::string_view kFetchScript = EZ_PUT_BACK R"lua(
local base, q, me = KEYS[1], ARGV[1], ARGV[2]
local want, alive = tonumber(ARGV[3]), tonumber(ARGV[4])
local queue, open = base .. q .. ':', tonumber(ARGV[6])
if open then put_back(queue, open) end
if redis.call('SISMEMBER', base .. 'queues', q) == 0 then return {'GONE', -1, {}} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local members = queue .. 'members'
-- A late command of a connection that was given up must not make a reader of it again.
local left = redis.call('EXISTS', queue .. 'left:' .. me) == 1
if left or (ARGV[5] == '1' and not redis.call('HGET', members, me)) then return {'LOST', -1, {}} end
redis.call('HSET', members, me, now + alive)

local delay, delayed = base .. 'delay', base .. 'delayed'
local due = redis.call('ZRANGEBYSCORE', delay, '-inf', now, 'LIMIT', 0, 200)
if #due > 0 then
  local queues = redis.call('SMEMBERS', base .. 'queues')
  for _, seq in ipairs(due) do
    local one = cmsgpack.unpack(redis.call('HGET', delayed, seq))
    for _, each in ipairs(queues) do
      redis.call('XADD', base .. each .. ':' .. one[1], '*', unpack(one, 2))
    end
  end
  redis.call('ZREM', delay, unpack(due))
  redis.call('HDEL', delayed, unpack(due))
  redis.call('PUBLISH', base .. 'wake', '1')
end

local function lives(name)
  local until_ms = redis.call('HGET', members, name)
  return until_ms and tonumber(until_ms) > now
end
local owner = redis.call('GET', queue .. 'owner')
if want > 0 and owner ~= me and (not owner or not lives(owner)) then
  redis.call('SET', queue .. 'owner', me)
  owner = me
end

-- What the dead held comes first, in the order of the stream, also when several died one after another.
local out, keyed_left = {}, false
if want > 0 and redis.call('HLEN', members) > 1 then
  local dead, held = {}, {}
  local all = redis.call('HGETALL', members)
  for i = 1, #all, 2 do
    local ends = tonumber(all[i + 1])
    if all[i] ~= me and ends <= now then dead[#dead + 1] = {all[i], ends > 0 and 1 or 0} end
  end
  for lane = 0, 5 do
    local key, found = queue .. lane, {}
    local budget = want - #out
    if lane == 5 and owner ~= me then budget = 0 end
    for _, one in ipairs(dead) do
      for _, p in ipairs(redis.call('XPENDING', key, 'g', '-', '+', budget + 1, one[1])) do
        local ms, n = string.match(p[1], '(%d+)-(%d+)')
        found[#found + 1] = {p[1], tonumber(ms), tonumber(n), p[4] + one[2], one[1]}
      end
    end
    table.sort(found, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[3] < b[3]) end)
    for k, f in ipairs(found) do
      if k > budget then
        held[f[5]] = true
        if lane == 5 then keyed_left = true end
      else
        redis.call('XCLAIM', key, 'g', me, 0, f[1], 'RETRYCOUNT', f[4], 'JUSTID')
        local entry = redis.call('XRANGE', key, f[1], f[1])
        if #entry == 1 then
          out[#out + 1] = {lane, f[1], f[4] - 1, entry[1][2]}
        else
          redis.call('XACK', key, 'g', f[1])
        end
      end
    end
  end
  for _, one in ipairs(dead) do
    if not held[one[1]] then redis.call('HDEL', members, one[1]) end
  end
end

local reclaimed, less_urgent, opened = #out, 0, 0
for lane = 0, 5 do
  local left = want - (lane == 5 and reclaimed or #out)
  local mine = lane < 5 or (owner == me and not keyed_left)
  if lane == open then
    if #out == 0 and redis.call('EXISTS', queue .. lane) == 1 then
      opened = redis.call('RENAMENX', queue .. lane, base .. 'open:' .. lane)
    end
  elseif open and lane > open and lane < 5 then
    local there = redis.call('XLEN', queue .. lane)
    if there > 0 and there > redis.call('XPENDING', queue .. lane, 'g')[1] then less_urgent = 1 end
  elseif left > 0 and mine then
    local got = redis.call('XREADGROUP', 'GROUP', 'g', me, 'COUNT', left, 'STREAMS', queue .. lane, '>')
    if got then
      for _, e in ipairs(got[1][2]) do out[#out + 1] = {lane, e[1], 0, e[2]} end
    end
  end
end
local next_due = -1
local first = redis.call('ZRANGE', delay, 0, 0, 'WITHSCORES')
if #first == 2 then next_due = math.max(0, tonumber(first[2]) - now) end
return {'OK', next_due, out, less_urgent, opened}
)lua";

const std::string_view kSettleScript = R"lua(
local base, q, me = KEYS[1], ARGV[1], ARGV[2]
local queue = base .. q .. ':'
if redis.call('EXISTS', queue .. 'left:' .. me) == 1 then return 0 end
if not redis.call('HGET', queue .. 'members', me) then return 0 end
local lanes = {}
for i = 4, #ARGV, 2 do
  local ids = lanes[ARGV[i]]
  if not ids then
    ids = {}
    lanes[ARGV[i]] = ids
  end
  ids[#ids + 1] = ARGV[i + 1]
end
for lane, ids in pairs(lanes) do
  redis.call('XACK', queue .. lane, 'g', unpack(ids))
  redis.call('XDEL', queue .. lane, unpack(ids))
end
redis.call('HINCRBY', base .. 'stats', 'bytes:' .. q, 0 - tonumber(ARGV[3]))
return 1
)lua";

const std::string_view kLeaveScript = R"lua(
local base, q, me = KEYS[1], ARGV[1], ARGV[2]
local queue = base .. q .. ':'
redis.call('SET', queue .. 'left:' .. me, 1, 'EX', 300)
if not redis.call('HGET', queue .. 'members', me) then return 0 end
local holds = false
for lane = 0, 5 do
  if #redis.call('XPENDING', queue .. lane, 'g', '-', '+', 1, me) > 0 then holds = true end
end
if holds then
  redis.call('HSET', queue .. 'members', me, 0)
else
  redis.call('HDEL', queue .. 'members', me)
end
if redis.call('GET', queue .. 'owner') == me then redis.call('DEL', queue .. 'owner') end
redis.call('PUBLISH', base .. 'wake', '1')
return 1
)lua";

const std::string_view kMakeScript = EZ_PUT_BACK R"lua(
local base, q = KEYS[1], ARGV[1]
redis.call('SADD', base .. 'queues', q)
for lane = 0, 5 do
  put_back(base .. q .. ':', lane)
  -- BUSYGROUP when it is there.
  redis.pcall('XGROUP', 'CREATE', base .. q .. ':' .. lane, 'g', '0', 'MKSTREAM')
end
return 1
)lua";

const std::string_view kDropScript = R"lua(
local base, q = KEYS[1], ARGV[1]
redis.call('SREM', base .. 'queues', q)
for lane = 0, 5 do redis.call('DEL', base .. q .. ':' .. lane) end
redis.call('DEL', base .. q .. ':members', base .. q .. ':owner')
redis.call('HDEL', base .. 'stats', 'bytes:' .. q)
redis.call('PUBLISH', base .. 'wake', '1')
return 1
)lua";

const std::string_view kPeekScript = R"lua(
local base, q, max = KEYS[1], ARGV[1], tonumber(ARGV[2])
local out = {}
for lane = 0, 5 do
  local key = base .. q .. ':' .. lane
  if redis.call('EXISTS', key) == 1 then
    local last = redis.call('XINFO', 'GROUPS', key)[1][8]
    for _, e in ipairs(redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', max)) do
      out[#out + 1] = {lane, e[1], 0, e[2]}
    end
  end
end
return out
)lua";

const std::string_view kPurgeScript = R"lua(
local base, q, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
local count, bytes = 0, 0
for lane = 0, 5 do
  local key = base .. q .. ':' .. lane
  if redis.call('EXISTS', key) == 1 then
    local last = redis.call('XINFO', 'GROUPS', key)[1][8]
    for _, e in ipairs(redis.call('XRANGE', key, '(' .. last, '+', 'COUNT', most)) do
      redis.call('XDEL', key, e[1])
      count = count + 1
      bytes = bytes + #e[2][4]
    end
  end
end
redis.call('HINCRBY', base .. 'stats', 'bytes:' .. q, 0 - bytes)
return count
)lua";

const std::string_view kPurgeDelayedScript = R"lua(
local base = KEYS[1]
local count = redis.call('ZCARD', base .. 'delay')
redis.call('DEL', base .. 'delay', base .. 'delayed')
return count
)lua";

const std::string_view kCountScript = R"lua(
local base, q = KEYS[1], ARGV[1]
local length, fetched = 0, 0
for lane = 0, 5 do
  local key = base .. q .. ':' .. lane
  if redis.call('EXISTS', key) == 1 then
    length = length + redis.call('XLEN', key)
    fetched = fetched + redis.call('XPENDING', key, 'g')[1]
  end
end
local function stat(name) return tonumber(redis.call('HGET', base .. 'stats', name) or '0') end
local delayed = redis.call('ZCARD', base .. 'delay')
return {length - fetched, fetched, delayed, stat('bytes:' .. q), stat('published')}
)lua";

#undef EZ_PUT_BACK

}  // namespace ez::queue::redis
