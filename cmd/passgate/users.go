package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/store/sqlstore"
	"github.com/passgate/passgate/internal/terminal"
)

type usersCommand struct {
	List   usersListCommand   `cmd:"" help:"List the accounts by e-mail address."`
	Show   usersShowCommand   `cmd:"" help:"Show an account. Exit status 1: there is none."`
	Grant  usersGrantCommand  `cmd:"" help:"Give an account roles, permissions or another subscription. Tokens given out before keep what they say until they expire."`
	Revoke usersRevokeCommand `cmd:"" help:"Take roles or permissions from an account. Tokens given out before keep what they say until they expire."`
}

// userView is what is shown of an account. The hash of its password is nobody's business.
type userView struct {
	UserID       string   `json:"user_id"`
	Email        string   `json:"email"`
	Name         string   `json:"name"`
	Country      string   `json:"country"`
	Platform     string   `json:"platform"`
	Subscription string   `json:"subscription"`
	Roles        []string `json:"roles"`
	Permissions  []string `json:"permissions"`
	Created      string   `json:"created"` // RFC 3339
}

func viewOf(a account.Account) userView {
	return userView{
		UserID: a.ID, Email: a.Email, Name: a.Name, Country: a.Country, Platform: a.Platform, Subscription: a.Subscription,
		Roles: append([]string{}, a.Roles...), Permissions: append([]string{}, a.Permissions...), Created: a.Created.UTC().Format(time.RFC3339),
	}
}

// withAccounts opens the accounts of the configuration for as long as use runs. The server may run beside it.
func (f configFlag) withAccounts(ctx context.Context, p *program, use func(*config.Config, account.Store) error) error {
	cfg, err := f.loadOrDefault(p)
	if err != nil {
		return err
	}
	if cfg.Accounts == nil {
		return usagef("%s has no accounts; add accounts: {issuer: NAME} to it", cfg.File)
	}
	file := strings.TrimPrefix(cfg.Accounts.Database, "sqlite:")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) { // in another folder, say: an empty one would tell nothing
		return usagef("there are no accounts yet: %s does not exist; passgate serve makes it", file)
	}
	store, err := sqlstore.Open(cfg.Accounts.Database)
	if err != nil {
		return err
	}
	return errors.Join(use(cfg, store), store.Close())
}

type usersListCommand struct {
	configFlag
	JSON bool `name:"json" help:"Print each account as JSON, one a line."`
}

// usersPage is how many accounts are read at a time.
const usersPage = 500

func (c *usersListCommand) Run(ctx context.Context, p *program) error {
	return c.withAccounts(ctx, p, func(_ *config.Config, store account.Store) error {
		for after := ""; ; {
			accounts, err := store.List(ctx, after, usersPage)
			if err != nil {
				return err
			}
			for _, a := range accounts {
				if err := c.print(p, a); err != nil {
					return err
				}
				after = a.Email
			}
			if len(accounts) < usersPage {
				return nil
			}
		}
	})
}

func (c *usersListCommand) print(p *program, a account.Account) error {
	if c.JSON {
		return printJSONLine(p.stdout, viewOf(a))
	}
	_, err := fmt.Fprintln(p.stdout, terminal.Line(fmt.Sprintf("%-32s  %s  %-12s  roles [%s]  permissions [%s]",
		a.Email, a.ID, a.Subscription, strings.Join(a.Roles, ", "), strings.Join(a.Permissions, ", "))))
	return err
}

// emailArgument is embedded by the commands about one account.
type emailArgument struct {
	Email string `arg:"" help:"E-mail address of the account."`
}

// canonical returns the address as accounts have it.
func (a emailArgument) canonical() (string, error) {
	email, err := account.CanonicalEmail(a.Email)
	if err != nil {
		return "", usagef("%s: %v", a.Email, err)
	}
	return email, nil
}

// answer prints an account, or says on standard error why the answer is no.
func (p *program) answer(a account.Account, err error) error {
	var grant *account.GrantError
	switch {
	case errors.Is(err, account.ErrNotFound):
		fmt.Fprintln(p.stderr, "passgate: no account has this address")
		return errNo
	case errors.As(err, &grant):
		fmt.Fprintln(p.stderr, "passgate:", terminal.Line(grant.Text))
		return errNo
	case err != nil:
		return err
	}
	return printJSON(p.stdout, viewOf(a))
}

type usersShowCommand struct {
	configFlag
	emailArgument
}

func (c *usersShowCommand) Run(ctx context.Context, p *program) error {
	email, err := c.canonical()
	if err != nil {
		return err
	}
	return c.withAccounts(ctx, p, func(_ *config.Config, store account.Store) error {
		return p.answer(store.ByEmail(ctx, email))
	})
}

type usersGrantCommand struct {
	configFlag
	emailArgument
	Role         []string `sep:"none" placeholder:"ROLE" help:"A role to add; may be repeated."`
	Permission   []string `sep:"none" placeholder:"PERMISSION" help:"A permission to add; may be repeated."`
	Subscription string   `help:"The subscription to set."`
}

func (c *usersGrantCommand) Run(ctx context.Context, p *program) error {
	grant := account.Grant{Roles: c.Role, Permissions: c.Permission, Subscription: c.Subscription}
	if len(c.Role)+len(c.Permission) == 0 && c.Subscription == "" {
		return usagef("nothing to grant; add --role, --permission or --subscription")
	}
	return c.change(ctx, p, c.configFlag, grant.Give, c.Role...)
}

type usersRevokeCommand struct {
	configFlag
	emailArgument
	Role       []string `sep:"none" placeholder:"ROLE" help:"A role to take; may be repeated."`
	Permission []string `sep:"none" placeholder:"PERMISSION" help:"A permission to take; may be repeated."`
}

func (c *usersRevokeCommand) Run(ctx context.Context, p *program) error {
	if len(c.Role)+len(c.Permission) == 0 {
		return usagef("nothing to revoke; add --role or --permission")
	}
	return c.change(ctx, p, c.configFlag, account.Grant{Roles: c.Role, Permissions: c.Permission}.Take)
}

// change applies a change to the account and prints what it is then.
func (a emailArgument) change(ctx context.Context, p *program, f configFlag, change func(account.Account) (account.Account, error), roles ...string) error {
	email, err := a.canonical()
	if err != nil {
		return err
	}
	return f.withAccounts(ctx, p, func(cfg *config.Config, store account.Store) error {
		for _, role := range roles {
			if _, known := cfg.Roles[role]; !known && len(cfg.Roles) > 0 {
				fmt.Fprintln(p.stderr, terminal.Line(fmt.Sprintf("passgate: note: roles in %s gives %q no permissions", cfg.File, role)))
			}
		}
		return p.answer(store.Update(ctx, email, change))
	})
}
