package offers

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// Whatever an offer has is there again when it is taken from the shelf: each field is
// set here, so that one that is added and not packed is missed.
func TestShelfKeepsOffers(t *testing.T) {
	t.Run("as it is", func(t *testing.T) { testShelf(t, shelf{}) })
	t.Run("ids with the same hash", func(t *testing.T) { testShelf(t, shelf{hash: func(id string) uint64 { return uint64(len(id)) }}) })
}

func testShelf(t *testing.T, s shelf) {
	full := Offer{version: 7}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case name == "Removed" || name == "version": // none that is removed is on a shelf
		case f.Kind() == reflect.String:
			f.SetString(name + " ü")
		case f.CanInt():
			f.SetInt(int64(1000 + i))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case name == "Price":
			full.Price = Money{Minor: 1 << 40, Currency: "USD"}
		case name == "Stock":
			full.Stock = map[string]int{"S black": 0, "M": Unlimited}
		case name == "Opens":
			full.Opens = time.Date(2026, 5, 1, 20, 0, 0, 1, time.FixedZone("", 19800))
		case name == "Closes":
			full.Closes = time.Date(2026, 5, 2, 20, 0, 0, 0, time.UTC)
		case name == "Tags" || name == "Countries":
			f.Set(reflect.ValueOf([]string{name, "ü"}))
		case name == "Prices" || name == "Delivery":
			f.Set(reflect.ValueOf([]Money{{Minor: 1, Currency: "EUR"}, {Minor: 1 << 40, Currency: "JPY"}}))
		case name == "Aliases":
			full.Aliases = map[string][]string{"M": {"medium", "moyen"}}
		default:
			t.Errorf("what is %s?", name)
		}
	}
	want := map[string]Offer{full.ID: full}
	s.put(full)
	for n := range 1000 {
		o := Offer{ID: fmt.Sprint("tag", n%500), Tag: fmt.Sprint("Tag", n), Seller: fmt.Sprint(n % 3), Stock: map[string]int{"": n}, version: int64(n)}
		s.put(o) // each twice: the later one counts
		want[o.ID] = o
	}
	check := func(s *shelf) {
		t.Helper()
		got := map[string]Offer{}
		s.each(func(o Offer) bool { got[o.ID] = o; return true })
		for id, o := range want {
			found, ok := s.get(id)
			if !ok || !reflect.DeepEqual(found, o) || !reflect.DeepEqual(got[id], o) {
				t.Fatalf("%s: %v\n%+v\n%+v, not\n%+v", id, ok, found, got[id], o)
			}
		}
		if len(got) != len(want) || s.count != len(want) {
			t.Errorf("%d offers, not %d", len(got), len(want))
		}
		tags := map[string]bool{}
		for _, tag := range s.tags(nil) {
			tags[tag] = true
		}
		for _, o := range want {
			if !tags[o.Tag] || len(tags) != len(want)+len(full.Tags) {
				t.Errorf("%d tags, without %s", len(tags), o.Tag)
			}
		}
		if _, ok := s.get("nothing"); ok {
			t.Error("what was never there is found")
		}
	}
	check(&s)
	s.compact()
	check(&s)
	delete(want, "tag7")
	check(s.without("tag7"))
	if n := testing.AllocsPerRun(100, func() { s.get("nothing") }); n != 0 {
		t.Errorf("a miss allocates %v times", n)
	}
}
