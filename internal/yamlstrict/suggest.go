package yamlstrict

// nearest returns the known word that text is most likely a slip of, or "".
func nearest(text string, known []string) string {
	best, limit := "", max(1, len(text)/3)+1
	for _, word := range known {
		if d := distance(text, word); d < limit {
			best, limit = word, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
