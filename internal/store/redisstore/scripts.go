package redisstore

import "github.com/redis/go-redis/v9"

// An entry is one hash, so that a script touches one key and Redis Cluster can run it:
//
//	v       1, the version of this layout
//	digest  of the first claim
//	plan    of the first claim
//	owner   who holds the lease, or held it last
//	leased  until when, in unix milliseconds by Redis's clock; 0 if the lease was released
//	answer  once it is finished
//
// The key's own expiry is the entry's life. Only the first claim sets it; one that has become longer, as when Redis's
// clock was set back, is cut.

// read is how each script begins: with the entry's values, false or nil if there is none.
const read = `
local v, digest, plan, owner, leased, answer = unpack(redis.call('HMGET', KEYS[1], 'v', 'digest', 'plan', 'owner', 'leased', 'answer'))
local there = redis.call('EXISTS', KEYS[1]) == 1
leased = tonumber(leased or '')
if there and not (v == '1' and digest and plan and owner and leased) then
	return redis.error_reply('UNREADABLE what is under the key is no entry')
end
`

// claim wants the digest, the plan, the owner, the lease and the life, both in milliseconds. It returns 1 if the
// claim owns the entry or else 0, the digest, the plan and the answer, nil if there is none.
var claimScript = redis.NewScript(read + `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wanted, claimant, lease = ARGV[1], ARGV[3], string.format('%.0f', now + ARGV[4])
if not there then
	redis.call('HSET', KEYS[1], 'v', '1', 'digest', wanted, 'plan', ARGV[2], 'owner', claimant, 'leased', lease)
	redis.call('PEXPIRE', KEYS[1], ARGV[5])
	return {1, wanted, ARGV[2], false}
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[5]) then
	redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
if answer or digest ~= wanted then
	return {0, digest, plan, answer}
end
if leased <= now or leased > now + ARGV[4] then -- beyond any lease from now: the clock was set back
	redis.call('HSET', KEYS[1], 'owner', claimant, 'leased', lease)
	owner = claimant
end
return {owner == claimant and 1 or 0, digest, plan, false}
`)

// finish wants the owner and the answer. It returns 1, or 0 if the lease is lost.
var finishScript = redis.NewScript(read + `
if owner ~= ARGV[1] or leased == 0 then
	return 0
end
if answer then
	return answer == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
return 1
`)

// release wants the owner. It returns 1.
var releaseScript = redis.NewScript(read + `
if owner == ARGV[1] and not answer then
	redis.call('HSET', KEYS[1], 'leased', '0')
end
return 1
`)
