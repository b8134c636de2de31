package policy

import (
	"math/bits"
)

// table finds the first of its routes that takes a method and a path, without trying them one by one. Hosts
// are not its business: there is a table for each.
//
// Whatever a route looks at is a column: the method, the segment at each place, the number of segments. For a
// value, a column holds the set of the routes that take it. The routes in all sets are those that match, and
// as sets are bits in the order of the routes, the lowest common bit is the first of them. A request costs a
// lookup for each of its segments and, at worst, a bit for each route of its host and column; how routes
// share prefixes, or mix {x} with literals, does not matter. In packet classification this is the bit vector
// scheme (Lakshman and Stiliadis, SIGCOMM 1998).
type table struct {
	routes   []int // by bit, the route's place in the policy, ascending
	methods  column
	segments []column   // by place; what lies beyond is taken by ** alone
	lengths  []routeSet // by number of segments; the last holds for all beyond
}

// column says which routes take a value.
type column struct {
	any   routeSet           // take any value but the empty one
	empty routeSet           // take the empty one, as ** does
	only  map[string][]chunk // take this value, beside those that take any
}

// routeSet is a set of routes, which is read word by word, in order.
type routeSet struct {
	dense  []uint64
	sparse []chunk // the words of a set that is mostly empty; they add to dense
	size   int     // about how many routes are in it
}

// chunk is one word of a set. Chunks stand in the order of their words.
type chunk struct {
	word int
	bits uint64
}

// newTable returns the table of the routes at these places of all.
func newTable(all []route, places []int) *table {
	depth := 0
	for _, place := range places {
		depth = max(depth, len(all[place].path.segments))
	}
	words := (len(places) + 63) / 64
	t := &table{routes: places, methods: newColumn(words), segments: make([]column, depth), lengths: make([]routeSet, depth+2)}
	for i := range t.segments {
		t.segments[i] = newColumn(words)
	}
	for i := range t.lengths {
		t.lengths[i] = newRouteSet(words)
	}
	for bit, place := range places {
		t.add(bit, &all[place])
	}
	return t
}

func newColumn(words int) column {
	return column{newRouteSet(words), newRouteSet(words), map[string][]chunk{}}
}

func newRouteSet(words int) routeSet { return routeSet{dense: make([]uint64, words)} }

// add enters a route in every column. Bits come in ascending order.
func (t *table) add(bit int, r *route) {
	if len(r.Methods) == 0 {
		t.methods.any.add(bit)
	}
	for _, method := range r.methods() {
		t.methods.add(method, bit)
	}
	own := len(r.path.segments)
	for i := range t.segments {
		switch c := &t.segments[i]; {
		case i >= own: // beyond the template; that only ** goes there is what lengths says
			c.any.add(bit)
			c.empty.add(bit)
		case r.path.segments[i].name != "":
			c.any.add(bit)
		default:
			c.add(r.path.segments[i].literal, bit)
		}
	}
	t.lengths[own].add(bit)
	if r.path.rest {
		for n := own + 1; n < len(t.lengths); n++ {
			t.lengths[n].add(bit)
		}
	}
}

// add lets a route take one more value.
func (c *column) add(value string, bit int) {
	chunks := c.only[value]
	if len(chunks) == 0 || chunks[len(chunks)-1].word != bit/64 {
		chunks = append(chunks, chunk{word: bit / 64})
	}
	chunks[len(chunks)-1].bits |= 1 << (bit % 64)
	c.only[value] = chunks
}

func (s *routeSet) add(bit int) {
	s.dense[bit/64] |= 1 << (bit % 64)
	s.size++
}

// taking returns the routes that take a value.
func (c *column) taking(value string) routeSet {
	s := c.any
	if value == "" {
		s = c.empty
	}
	s.sparse = c.only[value]
	s.size += len(s.sparse)
	return s
}

// word returns one word of the set. Words are asked for in ascending order.
func (s *routeSet) word(w int) uint64 {
	bits := s.dense[w]
	for len(s.sparse) > 0 && s.sparse[0].word <= w {
		if s.sparse[0].word == w {
			bits |= s.sparse[0].bits
		}
		s.sparse = s.sparse[1:]
	}
	return bits
}

// first returns the place of the first route that takes the method and the path, or none.
func (t *table) first(method string, path []string, none int) int {
	if t == nil {
		return none
	}
	var room [16]routeSet // on the stack, for paths of common length
	sets := append(room[:0], t.lengths[min(len(path), len(t.lengths)-1)], t.methods.taking(method))
	smallest := 0
	for i, segment := range path[:min(len(path), len(t.segments))] {
		sets = append(sets, t.segments[i].taking(segment))
	}
	for i := range sets {
		if sets[i].size < sets[smallest].size {
			smallest = i
		}
	}
	sets[0], sets[smallest] = sets[smallest], sets[0] // where most words turn out empty
	for w := range sets[0].dense {
		common := ^uint64(0)
		for i := range sets {
			if common &= sets[i].word(w); common == 0 {
				break
			}
		}
		if common != 0 {
			return t.routes[w*64+bits.TrailingZeros64(common)]
		}
	}
	return none
}
