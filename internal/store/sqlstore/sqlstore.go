// Package sqlstore keeps accounts in an SQL database.
//
// The database is a SQLite file so far. What is SQLite's own is in sqlite.go; the rest is written in what SQL
// databases have in common. No error tells a value of a row, such as an address or a hash: those of the driver
// name tables and columns, and what is said here names nothing else.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"

	"github.com/pressly/goose/v3"
)

// maxConns bounds the connections to the database. Each is one reader, or the one writer.
const maxConns = 8

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an [account.Store] over SQL. It is safe for concurrent use, also by several processes. Make one with
// [Open].
type Store struct {
	file     string
	db       *sql.DB
	commands atomic.Int64

	prepared  atomic.Bool
	preparing chan struct{} // holds a token while a call prepares
}

// Open returns a store over the database that a URL names. The URL is sqlite:FILE; a relative file counts from the
// working directory. The first call makes the file where there is none and brings its tables up to date: that
// this cannot be done is an error of each call, which names the file, until it can.
func Open(url string) (*Store, error) {
	file, isSQLite := strings.CutPrefix(url, "sqlite:")
	if !isSQLite || file == "" || strings.HasPrefix(file, ":") {
		return nil, errors.New("want a database such as sqlite:passgate.db") // another URL may hold a password
	}
	db, err := openSQLite(file)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", file, err)
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	return &Store{file: file, db: db, preparing: make(chan struct{}, 1)}, nil
}

// prepare sees to it, once, that the file and its tables are there.
func (s *Store) prepare(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	select {
	case s.preparing <- struct{}{}:
		defer func() { <-s.preparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.prepared.Load() {
		return nil
	}
	err := create(s.file)
	if err == nil {
		err = migrate(ctx, s.db)
	}
	if err != nil {
		return fmt.Errorf("open the database %s: %w", s.file, err)
	}
	s.prepared.Store(true)
	return nil
}

// migrate brings the tables up to date.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	// Two processes that start on a new file lay its tables at the same time. One of them fails, and finds them
	// there the next time.
	for range 3 {
		if err = migrateOnce(ctx, db, files); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func migrateOnce(ctx context.Context, db *sql.DB, files fs.FS) error {
	// Not verbose, goose prints nothing; and it takes up nothing that another package registered with it.
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Ping returns an error if the database cannot be asked.
func (s *Store) Ping(ctx context.Context) error {
	err := s.prepare(ctx)
	if err == nil {
		var rows *sql.Rows
		// Not counted: it is asked for by nobody's request.
		if rows, err = s.db.QueryContext(ctx, "SELECT 1 FROM accounts LIMIT 1"); err == nil {
			err = rows.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("ping the database: %w", err)
	}
	return nil
}

// Commands returns how many SQL commands were sent so far, pings aside, so that it can be seen that something sends
// none.
func (s *Store) Commands() int64 { return s.commands.Load() }

// Close ends every connection. It waits for what runs.
func (s *Store) Close() error { return s.db.Close() }

// conn is a [*sql.DB] or a [*sql.Tx].
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *Store) query(ctx context.Context, c conn, query string, args ...any) (*sql.Rows, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	s.commands.Add(1)
	return c.QueryContext(ctx, query, args...)
}

// exec returns how many rows the command changed.
func (s *Store) exec(ctx context.Context, c conn, query string, args ...any) (int64, error) {
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	s.commands.Add(1)
	result, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// inTx commits what do did if it did it without an error. It is the only one that writes as long as it runs.
func (s *Store) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.commands.Add(1)
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit this does nothing
	if err := do(tx); err != nil {
		return err
	}
	s.commands.Add(1)
	return tx.Commit()
}
