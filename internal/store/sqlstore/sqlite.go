package sqlstore

import (
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver
)

// What SQLite alone has, beside the name of its dialect in migrate:
//
//   - Settings that every connection is opened with, below.
//   - A transaction begins with BEGIN IMMEDIATE, that is, with the lock to write. Two that read first and then
//     want to write, in passgate and in its users command, would otherwise stand in each other's way. A database
//     that locks rows wants SELECT … FOR UPDATE in [Store.Update] instead.
//   - TEXT is compared byte by byte. Elsewhere the columns email and id want COLLATE "C".
//   - A file, whose mode keeps others from reading password hashes.
var sqliteSettings = url.Values{
	"_busy_timeout": {"5000"}, // milliseconds that one who writes waits for another; less where its context ends
	"_foreign_keys": {"on"},
	"_journal_mode": {"WAL"}, // who reads does not wait for who writes
	// Once written to the log, a commit survives the end of the process. FULL has it survive a power cut as well,
	// for the price of one fsync, little beside the password hash that comes with each new account.
	"_synchronous": {"FULL"},
	"_txlock":      {"immediate"},
	"_dqs":         {"false"}, // a misspelled column is an error, not a string
	"_defensive":   {"true"},
	"_error_rc":    {"true"}, // errors say what they are about, and not what came before
}

// openSQLite opens a file. The connections come when they are needed.
func openSQLite(file string) (*sql.DB, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	// As a URL, since a file's name may hold ? and %.
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: sqliteSettings.Encode()}
	return sql.Open("sqlite", dsn.String())
}

// create makes an empty file that its owner alone may read, if there is none. SQLite gives the files beside it
// (-wal, -shm) the same mode. One that is there is not even opened: to close it would end the locks on it that
// this process holds elsewhere.
func create(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		// The error names the file, and so does who called.
		var path *fs.PathError
		if errors.As(err, &path) {
			return path.Err
		}
		return err
	}
	return f.Close()
}
