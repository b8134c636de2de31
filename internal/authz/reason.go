package authz

// Reason is why a decision is what it is. The zero value is a refusal.
type Reason uint8

// The reasons of a decision. What a client is shown for each is the business of package problem.
const (
	ReasonUnavailable         Reason = iota // what is needed to judge could not be had in time
	ReasonGranted                           // allowed
	ReasonPathAmbiguous                     // the path can be read in two ways
	ReasonHostAmbiguous                     // the host can be read in two ways
	ReasonCredentialsMultiple               // more than one credential
	ReasonCredentialMissing                 // none where one is needed
	ReasonCredentialExpired                 // good but for its expiry
	ReasonCredentialInvalid                 // bad in any other way
	ReasonPermissionMissing                 // the principal lacks a required permission
	ReasonForbidden                         // the route is closed to this request
	ReasonNoService                         // allowed, but there is no service to send it to
)
