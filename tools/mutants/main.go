// Command mutants runs gremlins over packages and holds what survives against a list of reasons.
//
//	mutants -gremlins BINARY -list docs/mutants.md PACKAGE...
//
// gremlins leaves out what it takes for uncovered: Go's coverage does not count the conditions of a case and
// the values of package variables. Those mutants are made here, with an overlay in place of a copy of the
// module. It prints the score of each package, killed of killed and lived, and of all; the exit status is 1
// where that is below the threshold, or a survivor is not in the list.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// The status of a mutant, as gremlins calls it.
const (
	killed     = "KILLED"
	lived      = "LIVED"
	timedOut   = "TIMED OUT"
	notCovered = "NOT COVERED"
	notViable  = "NOT VIABLE"
)

// flags turn on the mutations that gremlins leaves off. A mutant that makes a loop endless is ended after
// the time of a good run, times the coefficient.
var flags = strings.Fields("--silent --workers 2 --timeout-coefficient 30 --invert-assignments --invert-bitwise --invert-bwassign --invert-logical --invert-loopctrl --remove-self-assignments")

type mutant struct {
	file   string // from the root of the module
	Type   string `json:"type"`
	Status string `json:"status"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

func main() {
	gremlins := flag.String("gremlins", "gremlins", "the gremlins binary")
	list := flag.String("list", "docs/mutants.md", "survivors with their reasons")
	threshold := flag.Float64("threshold", 90, "least score of all packages, in percent")
	flag.Parse()
	if err := run(*gremlins, *list, *threshold, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(gremlins, list string, threshold float64, packages []string) error {
	known, err := readList(list)
	if err != nil {
		return err
	}
	all := map[string]int{}
	unlisted, used := 0, map[string]bool{}
	for _, dir := range packages {
		mutants, err := unleash(gremlins, dir)
		if err != nil {
			return err
		}
		count := map[string]int{}
		for _, m := range mutants {
			if m.Status == notCovered || m.Status == timedOut { // by a slow machine, perhaps
				if m.Status, err = m.try(dir); err != nil {
					return err
				}
			}
			count[m.Status]++
			all[m.Status]++
			if m.Status == killed || m.Status == notViable {
				continue
			}
			key := m.key()
			used[key] = true
			if !known[key] {
				unlisted++
				fmt.Printf("%s:%d:%d: %s %s: %s\n", m.file, m.Line, m.Column, m.Status, m.Type, m.text())
			}
		}
		fmt.Printf("%-30s %s\n", dir, score(count))
	}
	fmt.Printf("%-30s %s\n", "all", score(all))
	for key := range known {
		if file, _, _ := strings.Cut(key, "\x00"); !used[key] && listed(file, packages) {
			fmt.Printf("%s: no such survivor any more: %s\n", list, strings.ReplaceAll(key, "\x00", " "))
		}
	}
	switch {
	case unlisted > 0:
		return fmt.Errorf("%d survivors are not in %s: kill each with a test, or list it with its reason", unlisted, list)
	case percent(all) < threshold:
		return fmt.Errorf("the score is below %g %%", threshold)
	}
	return nil
}

func listed(file string, packages []string) bool {
	for _, dir := range packages {
		if filepath.Dir(file) == filepath.Clean(dir) {
			return true
		}
	}
	return false
}

// percent is the score: killed of killed and lived. What is still running after a minute counts as lived.
func percent(count map[string]int) float64 {
	return 100 * float64(count[killed]) / float64(max(1, count[killed]+count[lived]+count[timedOut]))
}

func score(count map[string]int) string {
	return fmt.Sprintf("%5.1f %%: %d killed, %d lived, %d timed out, %d not viable", percent(count), count[killed], count[lived], count[timedOut], count[notViable])
}

// unleash runs gremlins over one package.
func unleash(gremlins, dir string) ([]mutant, error) {
	out, err := os.CreateTemp("", "mutants-*.json")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command(gremlins, append(append([]string{"unleash"}, flags...), "--output", out.Name(), "./"+filepath.Clean(dir))...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var report struct {
		Files []struct {
			Name    string   `json:"file_name"`
			Mutants []mutant `json:"mutations"`
		} `json:"files"`
	}
	if err := json.NewDecoder(out).Decode(&report); err != nil {
		return nil, fmt.Errorf("%s: the report of gremlins: %w", dir, err)
	}
	var mutants []mutant
	for _, f := range report.Files {
		for _, m := range f.Mutants {
			m.file = filepath.Join(dir, filepath.Base(f.Name))
			if _, err := os.Stat(m.file); errors.Is(err, fs.ErrNotExist) {
				continue // of a package below this one
			}
			mutants = append(mutants, m)
		}
	}
	return mutants, nil
}

// swaps are the operators that each type of mutant exchanges.
var swaps = map[string]map[token.Token]token.Token{
	"ARITHMETIC_BASE":         {token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL},
	"CONDITIONALS_BOUNDARY":   {token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR},
	"CONDITIONALS_NEGATION":   {token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.LEQ: token.GTR, token.GTR: token.LEQ, token.GEQ: token.LSS},
	"INCREMENT_DECREMENT":     {token.INC: token.DEC, token.DEC: token.INC},
	"INVERT_LOGICAL":          {token.LAND: token.LOR, token.LOR: token.LAND},
	"INVERT_NEGATIVES":        {token.SUB: token.ADD},
	"INVERT_BITWISE":          {token.AND: token.OR, token.OR: token.AND, token.XOR: token.AND, token.AND_NOT: token.AND, token.SHL: token.SHR, token.SHR: token.SHL},
	"INVERT_LOOPCTRL":         {token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK},
	"INVERT_ASSIGNMENTS":      {token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN, token.MUL_ASSIGN: token.QUO_ASSIGN, token.QUO_ASSIGN: token.MUL_ASSIGN},
	"REMOVE_SELF_ASSIGNMENTS": {token.ADD_ASSIGN: token.ASSIGN, token.SUB_ASSIGN: token.ASSIGN, token.MUL_ASSIGN: token.ASSIGN, token.OR_ASSIGN: token.ASSIGN},
}

// try runs the tests of a package with one mutant in it.
func (m mutant) try(dir string) (status string, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	mutated, ok := m.apply(source)
	if !ok {
		return notViable, nil
	}
	temp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	original, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	file, overlay := filepath.Join(temp, "mutant.go"), filepath.Join(temp, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: file}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, mutated, 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "test", "-overlay", overlay, "-failfast", "-timeout", "60s", "./"+filepath.Clean(dir)).CombinedOutput()
	switch {
	case err == nil:
		return lived, nil
	case strings.Contains(string(out), "[build failed]"):
		return notViable, nil
	case strings.Contains(string(out), "panic: test timed out"):
		return timedOut, nil
	}
	return killed, nil
}

// apply returns the source with the mutant in it. It is false for an operator that is not exchanged.
func (m mutant) apply(source []byte) ([]byte, bool) {
	files := token.NewFileSet()
	f := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(f, source, nil, 0)
	for {
		pos, tok, _ := s.Scan()
		if tok == token.EOF {
			return nil, false
		}
		at := files.Position(pos)
		if at.Line != m.Line || at.Column != m.Column {
			continue
		}
		other, ok := swaps[m.Type][tok]
		if !ok {
			return nil, false
		}
		return []byte(string(source[:at.Offset]) + other.String() + string(source[at.Offset+len(tok.String()):])), true
	}
}

// text is the line as the mutant has it.
func (m mutant) text() string {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return err.Error()
	}
	if mutated, ok := m.apply(source); ok {
		source = mutated
	}
	return strings.TrimSpace(strings.Split(string(source), "\n")[m.Line-1])
}

// key names a mutant by what does not change with the lines above it.
func (m mutant) key() string { return m.file + "\x00" + m.text() }

var listItem = regexp.MustCompile("^- `(.*)`: .")

// readList reads the survivors that have a reason: a heading "## FILE", then items "- `MUTATED LINE`: reason".
func readList(name string) (map[string]bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	known, file := map[string]bool{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			file = heading
		} else if m := listItem.FindStringSubmatch(line); m != nil {
			known[file+"\x00"+m[1]] = true
		}
	}
	return known, nil
}
