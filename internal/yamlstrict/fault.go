package yamlstrict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/terminal"
)

// Pos is a place in a file. Line and Column count from 1; the zero value is no place in particular.
type Pos struct{ Line, Column int }

// Fault is one thing that is wrong, or unwise, in a file.
type Fault struct {
	File string
	Pos
	Field string // dotted path, such as issuers[0].algorithms[1]; empty for the file as a whole
	Text  string // what is wrong and what to write instead; never the value of a field
	Err   error  // what caused it; may be nil
}

// Error returns the fault as FILE:LINE:COL: field: text. What is not known is left out.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(f.Text)
	return terminal.Line(b.String()) // a fault names words of the file
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Faults are all that is wrong in a file, in the order of its lines. As an error it has one line for each.
type Faults []*Fault

// Error returns one line for each fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults, for [errors.Is] and [errors.As].
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// sortByPlace orders faults by line and column, keeping the order of those in one place.
func sortByPlace(fs []*Fault) {
	slices.SortStableFunc(fs, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
