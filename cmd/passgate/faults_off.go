//go:build !faults

package main

import (
	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/idempotency"
)

// faulty leaves the stores as they are: see faults_on.go.
var faulty noFaults

type noFaults struct{}

func (noFaults) keys(s idempotency.Store) idempotency.Store { return s }
func (noFaults) accounts(s account.Store) account.Store     { return s }
