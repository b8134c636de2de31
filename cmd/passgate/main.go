// Command passgate decides, for Envoy, who may call what: see README.md. Each command has a file of its
// own here; this one parses the command line and maps errors to exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; after it, a second one ends the process as usual.
	context.AfterFunc(ctx, stop)
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv, now: time.Now}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// untilHangUp returns a context that ends with a hang-up, too, unless nohup has said that it is none: a closed
// terminal must not leave other processes behind.
func untilHangUp(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// program is what a command may touch of the world.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	now            func() time.Time
}

// Exit codes, as in the contract.
const (
	exitOK    = 0
	exitNo    = 1 // the answer is no
	exitUsage = 2 // usage or configuration error
	exitFault = 3 // a fault at run time
)

// errNo says that a command ran well and its answer, which it has printed, is no.
var errNo = errors.New("no")

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

type commands struct {
	Serve    serveCommand    `cmd:"" help:"Run the servers: Check for Envoy over gRPC, accounts and the proxy, and operations."`
	Demo     demoCommand     `cmd:"" help:"Show passgate behind a real Envoy: a tour of requests with their answers."`
	Gateway  gatewayCommand  `cmd:"" help:"Answer JSON messages on standard input, one decision a message."`
	Explain  explainCommand  `cmd:"" help:"Decide one request offline and print each step. Exit status: 0 allowed, 1 denied, 2 could not decide."`
	Test     testCommand     `cmd:"" help:"Run policy test files: requests and the decisions expected."`
	Config   configCommand   `cmd:"" help:"Validate or show the configuration."`
	Token    tokenCommand    `cmd:"" help:"Mint or inspect a token."`
	Passport passportCommand `cmd:"" help:"Decode or verify an X-Passport value."`
	Keys     keysCommand     `cmd:"" help:"Make, list and rotate the keys of a directory."`
	APIKey   apikeyCommand   `cmd:"" name:"apikey" help:"Make an API key."`
	Users    usersCommand    `cmd:"" help:"List and change accounts."`
	Version  versionCommand  `cmd:"" help:"Print version, commit and Go version."`
	Help     helpCommand     `cmd:"" help:"Show help for passgate or one of its commands."`

	ShowVersion versionFlag `name:"version" help:"Print version, commit and Go version."`
}

// exited is what kong's help flag ends parsing with.
type exited int

// run executes one command line and returns its exit code.
func (p *program) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if e := recover(); e != nil {
			status, isExit := e.(exited)
			if !isExit {
				panic(e)
			}
			code = int(status)
		}
	}()
	err := p.execute(ctx, args)
	var usage usageError
	var parse *kong.ParseError
	var faults config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &faults):
		fmt.Fprintln(p.stderr, faults)
		return exitUsage
	case errors.As(err, &parse):
		fmt.Fprintf(p.stderr, "passgate: %s; see %s --help\n", terminal.Line(err.Error()), commandLine(parse.Context))
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintln(p.stderr, "passgate:", terminal.Line(err.Error()))
		return exitUsage
	}
	fmt.Fprintln(p.stderr, "passgate:", terminal.Line(err.Error()))
	return exitFault
}

func (p *program) execute(ctx context.Context, args []string) error {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("passgate"),
		kong.Description("External authorization for Envoy: passgate checks the credential of every request, evaluates the permissions of its route, and tells the upstream who is calling."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(status int) { panic(exited(status)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return parsed.Run()
}

// commandLine returns the words of the command that was parsed, as far as it was understood.
func commandLine(c *kong.Context) string {
	if selected := c.Selected(); selected != nil {
		return selected.FullPath()
	}
	return c.Model.Name
}

// configFlag is embedded by every command that reads the configuration.
type configFlag struct {
	// A pointer, as --config "$UNSET" must not stand for the absence of the flag.
	Config *string `placeholder:"FILE" help:"Configuration file. Without it: passgate.yaml in the working directory if there is one, else the embedded default."`
}

// load reads the configuration that the flag asks for; fallback gives one where there is no file.
func (f configFlag) load(p *program, fallback func() (*config.Config, error)) (*config.Config, error) {
	file, err := f.file()
	switch {
	case err != nil:
		return nil, err
	case file == "":
		return fallback()
	}
	return config.Load(file, p.lookupEnv)
}

// file returns the name of the file that the flag asks for, "" for the absence of any.
func (f configFlag) file() (string, error) {
	if f.Config != nil {
		if *f.Config == "" {
			return "", usagef("--config: the file name is empty")
		}
		return *f.Config, nil
	}
	// A link to nowhere is a file that is missing, not the wish for another configuration.
	if _, err := os.Lstat(config.DefaultFile); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return config.DefaultFile, nil
}

// loadOrDefault is load with the embedded default.
func (f configFlag) loadOrDefault(p *program) (*config.Config, error) {
	return f.load(p, p.defaultConfig)
}

// defaultConfig returns the embedded configuration, and says so: whoever meant another file would be puzzled.
func (p *program) defaultConfig() (*config.Config, error) {
	fmt.Fprintf(p.stderr, "passgate: no %s here and no --config: running on the embedded default (passgate config show --default prints it)\n", config.DefaultFile)
	return config.Default(p.lookupEnv)
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"Command to show help for."`
}

func (c *helpCommand) Run(ctx context.Context, p *program) error {
	return p.execute(ctx, append(c.Command, "--help"))
}
