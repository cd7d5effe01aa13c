// Scripts that run inside Redis (Lua 5.1), which makes comparing and writing one atomic step. Stamps are compared as in
// compareStamps: numbers, then bytes of the origin (`<` on Lua strings follows the server's locale and is not used). A value
// that is not an entry, or is stamped beyond the accepted limit, counts as absent.

import { createHash } from 'node:crypto'
import { MAX_COUNT, MAX_VALUE_BYTES } from './codec.ts'

export interface Script {
  readonly source: string
  readonly sha: string
}

const STAMPS = `
local latest = tonumber(ARGV[3])
local function stamp(text, most)
  if type(text) ~= 'string' then return nil end
  local wall, count, kind, origin = string.match(text, '^1 (%d+) (%d+) [01] ([vx]) ([^\\n]+)\\n')
  if not wall or #wall > 15 or #count > 10 or #origin > 1024
    or tonumber(wall) > (most or latest) or tonumber(count) > ${MAX_COUNT} then return nil end
  return tonumber(wall), tonumber(count), origin, kind
end
local function bytesLess(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local function encode(key, px, value)
  return #key .. ' ' .. px .. ' ' .. #value .. '\\n' .. key .. value
end
`

/**
 * KEYS: of entries. ARGV: channel ('': do not publish), sender, latest accepted wall clock, then value and time to live (ms) of
 * each key. Sets entries that are newer than the held ones and publishes them on the channel.
 * @returns the number of entries set
 */
export const WRITE = script(`${STAMPS}
local message, written = { '1 ' .. ARGV[2] .. '\\n' }, 0
for i, key in ipairs(KEYS) do
  local value, px = ARGV[2 * i + 2], ARGV[2 * i + 3]
  local wall, count, origin = stamp(value)
  local w, c, o = stamp(redis.pcall('GET', key))
  if wall and (not w or w < wall or (w == wall and (c < count or (c == count and bytesLess(o, origin))))) then
    redis.call('SET', key, value, 'PX', px)
    written = written + 1
    message[#message + 1] = encode(key, px, value)
  end
end
if written > 0 and ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], table.concat(message)) end
return written
`)

/**
 * KEYS: of one entry. ARGV: channel, sender, latest accepted wall clock, wall, count, rank, origin, time to live (ms), value.
 * The first writer wins, even one whose clock was too far ahead: its value stays and gets the stamp of this claim, so that it
 * is accepted. After a removal the new stamp is above the tombstone's.
 * @returns [1 if it was set, the held value, its time to live left (ms)]
 */
export const CLAIM = script(`${STAMPS}
local key, wall, count, px = KEYS[1], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[8]
local held = redis.pcall('GET', key)
local w, c, o, kind = stamp(held, math.huge)
if kind == 'v' then
  local left = redis.call('PTTL', key)
  if w <= latest or left < 1 or #held > ${MAX_VALUE_BYTES} then return { 0, held, left } end
  local rank, rest = string.match(held, '^1 %d+ %d+ ([01]) v (.*)$')
  held = '1 ' .. string.format('%.0f %.0f', wall, count) .. ' ' .. rank .. ' v ' .. rest
  redis.call('SET', key, held, 'PX', left)
  redis.call('PUBLISH', ARGV[1], '1 ' .. ARGV[2] .. '\\n' .. encode(key, left, held))
  return { 0, held, left }
end
if w and w <= latest and (w > wall or (w == wall and c >= count)) then wall, count = w, c + 1 end
local value = '1 ' .. string.format('%.0f %.0f', wall, count) .. ' ' .. ARGV[6] .. ' v ' .. ARGV[7] .. '\\n' .. ARGV[9]
redis.call('SET', key, value, 'PX', px)
redis.call('PUBLISH', ARGV[1], '1 ' .. ARGV[2] .. '\\n' .. encode(key, px, value))
return { 1, value, tonumber(px) }
`)

/**
 * KEYS: of entries.
 * @returns for each the value ('': absent; null: not a text) and its time to live left (ms, as PTTL)
 */
export const LOAD = script(`
local out = {}
for i, key in ipairs(KEYS) do
  local value = redis.pcall('GETRANGE', key, 0, ${MAX_VALUE_BYTES})
  out[2 * i - 1] = type(value) == 'string' and value or false
  out[2 * i] = redis.call('PTTL', key)
end
return out
`)

/**
 * KEYS: generation, pulse. ARGV: id of a new generation. The script writes, so that a Redis that refuses writes is detected
 * while nothing else is written.
 * @returns the generation; the new one when there was none: Redis was emptied
 */
export const PULSE = script(`
redis.call('SET', KEYS[2], '1', 'PX', 60000)
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and #held <= 64 then return held end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
`)

function script(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') }
}
