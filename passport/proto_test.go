package passport_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/passgate/passgate/passport"
	passportv1 "github.com/passgate/passgate/proto/passgate/passport/v1"
)

func TestProtoKeepsEveryField(t *testing.T) {
	wire, err := proto.Marshal(ann.Proto())
	if err != nil {
		t.Fatal(err)
	}
	var m passportv1.Passport
	if err := proto.Unmarshal(wire, &m); err != nil {
		t.Fatal(err)
	}
	if got := passport.FromProto(&m); got != ann {
		t.Errorf("%+v comes back as %+v", ann, got)
	}
	if got := passport.FromProto(nil); got != (passport.Passport{}) {
		t.Errorf("no message is %+v", got)
	}
}

// The message has the names of the header's fields, with numbers in their order.
func TestProtoHasTheFieldsOfTheHeader(t *testing.T) {
	fields := ann.Proto().ProtoReflect().Descriptor().Fields()
	if fields.Len() != 7 {
		t.Fatalf("%d fields", fields.Len())
	}
	rest := annText
	for i := range fields.Len() {
		f := fields.Get(i)
		_, after, found := strings.Cut(rest, `"`+string(f.Name())+`":`)
		if int(f.Number()) != i+1 || !found {
			t.Errorf("field %d is %s = %d: not in the order of %s", i+1, f.Name(), f.Number(), annText)
		}
		rest = after
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(ann.Proto())
	if err != nil || !strings.Contains(string(text), `"user_123"`) {
		t.Errorf("as JSON the message is %s, %v", text, err)
	}
}
