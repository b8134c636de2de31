//go:build faults

// Built with the tag faults, passgate can be told to die: PASSGATE_FAULT names a side effect of a signup and a
// side of it, such as "before create" or "after finish", and the process kills itself there, once, as the file of
// PASSGATE_FAULT_ONCE tells. The end-to-end tests use it; no release is built so.

package main

import (
	"context"
	"os"
	"syscall"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/idempotency"
)

var faulty faults

type faults struct{}

// at kills the process if it was told to die here and has not done so in an earlier life.
func (faults) at(point string) {
	if os.Getenv("PASSGATE_FAULT") != point {
		return
	}
	once, err := os.OpenFile(os.Getenv("PASSGATE_FAULT_ONCE"), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	once.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal takes a moment
}

func (f faults) keys(s idempotency.Store) idempotency.Store { return faultyKeys{s, f} }
func (f faults) accounts(s account.Store) account.Store     { return faultyAccounts{s, f} }

type faultyKeys struct {
	idempotency.Store
	faults
}

func (s faultyKeys) Claim(ctx context.Context, key string, c idempotency.Claim) (idempotency.Entry, error) {
	s.at("before claim")
	defer s.at("after claim")
	return s.Store.Claim(ctx, key, c)
}

func (s faultyKeys) Finish(ctx context.Context, key, owner string, answer []byte) error {
	s.at("before finish")
	defer s.at("after finish")
	return s.Store.Finish(ctx, key, owner, answer)
}

type faultyAccounts struct {
	account.Store
	faults
}

func (s faultyAccounts) Create(ctx context.Context, a account.Account) (account.Account, error) {
	s.at("before create")
	defer s.at("after create")
	return s.Store.Create(ctx, a)
}
