package passport

import passportv1 "github.com/passgate/passgate/proto/passgate/passport/v1"

// Proto returns the passport as a protobuf message, for services that pass it on over gRPC. The message is not
// signed.
func (p Passport) Proto() *passportv1.Passport {
	return &passportv1.Passport{
		UserId: p.UserID, Email: p.Email, Subscription: p.Subscription, Country: p.Country, Platform: p.Platform,
		TokenStatus: p.TokenStatus, IssuedAt: p.IssuedAt,
	}
}

// FromProto returns the passport that a message holds; of nil it is the zero value. It judges nothing: the
// message is as good as the one who sent it.
func FromProto(m *passportv1.Passport) Passport {
	return Passport{
		UserID: m.GetUserId(), Email: m.GetEmail(), Subscription: m.GetSubscription(), Country: m.GetCountry(), Platform: m.GetPlatform(),
		TokenStatus: m.GetTokenStatus(), IssuedAt: m.GetIssuedAt(),
	}
}
