package account

// Where the account API is (contract §6). These paths are passgate's own, byte for byte: the policy makes them
// public, and the door serves them. They stand here as both have to know them.
const (
	SignUpPath = "/v1/auth/signup"
	LogInPath  = "/v1/auth/login"
	MePath     = "/v1/auth/me"
)

// Paths returns all paths of the account API.
func Paths() []string { return []string{SignUpPath, LogInPath, MePath} }
