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
	db       *sql.DB
	commands atomic.Int64
}

// Open opens the database that a URL names, makes it where there is none, and brings its tables up to date. The
// URL is sqlite:FILE; a relative file counts from the working directory. The error names the file.
func Open(ctx context.Context, url string) (*Store, error) {
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
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", file, err), db.Close())
	}
	return &Store{db: db}, nil
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
	// Not counted: it is asked for by nobody's request.
	rows, err := s.db.QueryContext(ctx, "SELECT 1 FROM accounts LIMIT 1")
	if err == nil {
		err = rows.Close()
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
	s.commands.Add(1)
	return c.QueryContext(ctx, query, args...)
}

// exec returns how many rows the command changed.
func (s *Store) exec(ctx context.Context, c conn, query string, args ...any) (int64, error) {
	s.commands.Add(1)
	result, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// inTx commits what do did if it did it without an error. It is the only one that writes as long as it runs.
func (s *Store) inTx(ctx context.Context, do func(*sql.Tx) error) error {
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
