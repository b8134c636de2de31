package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
)

type keysListCommand struct {
	keyDirFlags
	JSON bool `name:"json" help:"Print each key as JSON, one a line."`
}

// keyView is what is shown of a key.
type keyView struct {
	ID        string           `json:"kid"`
	Algorithm keyset.Algorithm `json:"alg"`
	State     string           `json:"state"` // signing, verifying, next, skipped or retired
	Made      string           `json:"made"`  // RFC 3339, as the other times
	Signs     string           `json:"signs_from"`
	Retires   string           `json:"retires,omitzero"`
}

func (c *keysListCommand) Run(p *program) error {
	dir, _, err := c.dirOnly(p)
	if err != nil {
		return err
	}
	keys, err := keydir.List(dir)
	if err != nil {
		return faultOf(err)
	}
	now := p.now()
	ring, err := keyset.NewRing(func() time.Time { return now }, nil, keys...)
	if err != nil {
		return err
	}
	signing := ""
	if s, err := ring.Signer(); err == nil {
		signing = s.KeyID()
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "KID\tALG\tSTATE\tMADE\tSIGNS FROM\tRETIRES")
	}
	for _, k := range keys {
		v := keyView{
			ID: k.Signer.KeyID(), Algorithm: k.Signer.Key().Algorithm, State: stateOf(k, signing, now), Made: stamp(k.Made), Signs: stamp(k.Signs),
		}
		if !k.Retired.IsZero() {
			v.Retires = stamp(k.Retired)
		}
		if c.JSON {
			if err := printJSONLine(p.stdout, v); err != nil {
				return err
			}
			continue
		}
		if v.Retires == "" {
			v.Retires = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Algorithm, v.State, v.Made, v.Signs, v.Retires)
	}
	for _, k := range keys {
		if k.RetiredAt(now.Add(-keptRetired)) {
			fmt.Fprintf(p.stderr, "passgate: note: the key %s is retired for more than 30 days; its file may be removed\n", k.Signer.KeyID())
		}
	}
	return table.Flush()
}

// stateOf says what a key does now, where signing is the kid of the one that signs.
func stateOf(k keyset.RingKey, signing string, now time.Time) string {
	switch {
	case k.RetiredAt(now):
		return "retired"
	case k.Signer.KeyID() == signing:
		return "signing"
	case !k.Retired.IsZero() && !k.Signs.Before(k.Retired): // a later rotation was faster
		return "skipped"
	case now.Before(k.Signs):
		return "next"
	}
	return "verifying"
}
