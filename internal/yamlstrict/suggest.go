package yamlstrict

import "strings"

// Nearest returns the known word that text is most likely a slip of, or "".
func Nearest(text string, known []string) string {
	if len(text) > maxKey {
		return ""
	}
	for _, word := range known {
		if strings.EqualFold(text, word) {
			return word
		}
	}
	best, limit := "", max(1, len(text)/3)+1
	for _, word := range known {
		if d := distance(text, word); d < limit {
			best, limit = word, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace, and neighbours to exchange, to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1) // by letters of a, then of b
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				same++
			}
			rows[i][j] = min(same, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
