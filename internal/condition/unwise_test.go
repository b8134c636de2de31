package condition

import "testing"

func TestUnwise(t *testing.T) {
	issuers := map[string]string{
		"staff": "https://staff.example", "partners": "https://partners.example",
		"https://staff.example": "https://staff.example", "https://partners.example": "https://partners.example",
	}
	tests := []struct {
		when   string
		column int    // 0: nothing is unwise
		text   string // in full
	}{
		{`principal.issuer != 'https://partners.example' && request.method in ['GET', 'POST']`, 0, ""},
		{`'x-debug' in request.headers && request.headers['x-tenant'] == 'Blue' && has(request.headers.tenant)`, 0, ""},
		{`request.host == '[::1]' || request.host == 'api.example.com' || request.path == '/a' || request.path.startsWith('/100%')`, 0, ""},
		{`principal.issuer == ''`, 0, ""},
		{`path.user == 'X' && context.tier == 'Gold'`, 0, ""},
		{`[1, 2].exists(i, i == size(principal.roles))`, 0, ""},

		{`principal.issuer != 'partners'`, 21, "principal.issuer is the token's iss, not the issuer's name; write 'https://partners.example'"},
		{`'https://x.example' == principal.issuer`, 1, "no issuer has this iss"},
		{`!('X-Debug' in request.headers)`, 3, "the names in request.headers are in lower case; write 'x-debug'"},
		{`request.headers['X-Tenant'] == ''`, 17, "the names in request.headers are in lower case; write 'x-tenant'"},
		{`request.headers.Tenant == ''`, 16, "the names in request.headers are in lower case; write 'tenant'"},
		{`request.headers['authorization'] != ''`, 17, "authorization carries credentials, and is never in request.headers"},
		{`request.method == 'get'`, 19, "no method is written so; write 'GET'"},
		{`!(request.method in ['GET', 'head'])`, 29, "no method is written so; write 'HEAD'"},
		{`request.host != 'Api.example:8080'`, 17, "the host is in lower case, without port; write 'api.example'"},
		{`.request.method != 'get'`, 20, "no method is written so; write 'GET'"},
		{`request.host != '*.example.com'`, 17, "no host is written so: it has a character that no host has"},
		{`request.path != '/a%20b'`, 17, "the path is decoded: write the character itself"},
		{`!request.path.startsWith('admin')`, 26, "every path begins with /"},
		{`request.path == 'a'`, 17, "every path begins with /"},
		{`true`, 1, "looks at nothing of the request, so it is the same for all"},
		{`'true' == 'a'`, 1, "looks at nothing of the request, so it is the same for all"},
	}
	for _, tt := range tests {
		got := Unwise(tt.when, false, issuers)
		switch {
		case tt.text == "" && len(got) == 0:
		case tt.text == "" || len(got) != 1 || got[0].Line != 1 || got[0].Column != tt.column || got[0].Text != tt.text:
			t.Errorf("%s:", tt.when)
			for _, e := range got {
				t.Errorf("  %d:%d: %s", e.Line, e.Column, e.Text)
			}
		}
	}
	if got := Unwise(`request.method == 'GET' ||`+"\n"+` principal.user_id != 'ann'`, true, issuers); len(got) != 1 || got[0].Line != 2 || got[0].Column != 2 {
		t.Errorf("principal on a public route: %v", got)
	}
}
