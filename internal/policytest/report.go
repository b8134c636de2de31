package policytest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// String returns what is printed of a failed test: the differences, then the steps of the decision.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "FAIL %s (line %d)\n", r.Test.Name, r.Test.Line)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	for _, s := range r.Trace.Steps {
		fmt.Fprintf(&b, "    %s\n", s)
	}
	if r.Cause != "" {
		fmt.Fprintf(&b, "    cause: %s\n", r.Cause)
	}
	return b.String()
}

// Suite is the results of one file.
type Suite struct {
	File    string
	Results []Result
}

// Failed counts the tests that failed.
func (s Suite) Failed() int {
	n := 0
	for _, r := range s.Results {
		if len(r.Failures) > 0 {
			n++
		}
	}
	return n
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes results in the XML form that CI systems read.
func WriteJUnit(w io.Writer, suites []Suite) error {
	document := struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}{}
	for _, s := range suites {
		suite := junitSuite{Name: s.File, Tests: len(s.Results), Failures: s.Failed()}
		for _, r := range s.Results {
			c := junitCase{Name: r.Test.Name, Class: s.File}
			if len(r.Failures) > 0 {
				c.Failure = &junitFailure{Message: strings.Join(r.Failures, "; "), Text: r.String()}
			}
			suite.Cases = append(suite.Cases, c)
		}
		document.Suites = append(document.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(document); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
