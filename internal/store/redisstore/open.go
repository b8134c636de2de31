package redisstore

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How long what a call may have to wait for takes at most, if the URL does not say otherwise.
const (
	dialTimeout = 250 * time.Millisecond
	ioTimeout   = 500 * time.Millisecond // to send, and to read the answer
	poolTimeout = callTimeout            // for one of the connections
	poolSize    = 16
	maxPoolSize = 1000
)

// errURL does not show the URL, nor any part of it: written wrongly, it has its password in the place of something
// else.
var errURL = errors.New("want a URL of Redis such as redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path/to/socket, " +
	"with known options only; in the password / ? # @ and % are written as %2F %3F %23 %40 and %25")

// Open returns a store over the Redis that a URL names, redis://, rediss:// for TLS or unix://, with the options
// that go-redis reads from one. It does not connect: that Redis is down is an error of each call alone. No error
// shows the URL's password.
//
// From then on go-redis, which this package alone uses, logs nothing in this process: what it would log, each
// call that fails says as well.
func Open(url string) (*Store, error) { return open(url, time.Now) }

// open returns a store whose breaker goes by a clock.
func open(url string, now func() time.Time) (*Store, error) {
	o, err := redis.ParseURL(url)
	if err != nil || strings.Contains(url, "#") || o.PoolSize < 0 || o.PoolSize > maxPoolSize || o.MinIdleConns > maxPoolSize {
		return nil, errURL
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, ioTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, ioTimeout)
	o.PoolTimeout = cmp.Or(o.PoolTimeout, poolTimeout)
	o.PoolSize = cmp.Or(o.PoolSize, poolSize)
	o.ContextTimeoutEnabled = true
	// One try each: whoever asked may try again, and knows for how long.
	o.MaxRetries, o.DialerRetries = -1, 1
	// No more is said on a connection than is needed. RESP2 has no messages that come unasked.
	o.Protocol = 2
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.DisableIdentity = true
	o.PipelinePoolSize = -1
	o.Dialer = guarded(redis.NewDialer(o))
	logging.Disable()
	return &Store{client: redis.NewClient(o), password: o.Password, timeout: callTimeout, breaker: breaker{now: now}}, nil
}
