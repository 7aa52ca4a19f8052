package offers

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"reflect"
	"slices"
	"time"
	"unique"
)

// A shelf is the offers of a shard in few bytes: 1,000,000 offers take about 90 MB on
// shelves, where as a map of Offers they took over 1 GB (`hashtill bench growth`). Each
// stands packed in data, and is unpacked when somebody asks for it, which takes about a
// microsecond. It holds no pointers for the garbage collector to follow.
//
// Nobody may read it while it changes. The zero shelf is empty.
type shelf struct {
	begin map[uint64]uint32 // by the hash of the id: where in data the last put begins
	data  []byte
	count int
	fine  []unique.Handle[finePrint] // the packed offers name them by their number
	where map[unique.Handle[finePrint]]uint64
	last  struct { // that of the last put: most offers of one seller follow each other
		print  finePrint
		number uint64
	}
	tagged int // offers with more than one hashtag

	hash func(id string) uint64 // nil: maphash; a test has ids collide
}

func (s *shelf) hashOf(id string) uint64 {
	if s.hash != nil {
		return s.hash(id)
	}
	return maphash.String(shelfSeed, id)
}

// finePrint is what many offers have in common, those of one seller above all. It is
// kept once.
type finePrint struct {
	seller, sellerAddress, sellerTaxNumber, terms, currency string

	tax                      Percent
	perBuyer, withdrawalDays int
	digital                  bool
}

// shelfSeed is of the hashes of ids, in this process.
var shelfSeed = maphash.MakeSeed()

// put adds an offer, or puts it in the place of the one with its id.
func (s *shelf) put(o Offer) {
	if _, ok := s.get(o.ID); ok { // a scan may meet one twice
		*s = *s.without(o.ID)
	}
	if s.begin == nil {
		s.begin = map[uint64]uint32{}
	}
	number := s.numberOf(finePrint{o.Seller, o.SellerAddress, o.SellerTaxNumber, o.Terms, o.Price.Currency, o.Tax, o.PerBuyer, o.WithdrawalDays, o.Digital})
	s.count++
	if len(o.Tags) > 0 {
		s.tagged++
	}
	hash := s.hashOf(o.ID)
	before, chained := s.begin[hash]
	s.begin[hash] = uint32(len(s.data))

	text := func(t string) { s.data = append(binary.AppendUvarint(s.data, uint64(len(t))), t...) }
	at := func(t time.Time) {
		if t.IsZero() {
			text("")
			return
		}
		b, _ := t.MarshalBinary() // fails for no time that JSON has
		text(string(b))
	}
	// Whoever has the same hash and was here before is found behind this one.
	next := uint64(0)
	if chained {
		next = uint64(before) + 1
	}
	s.data = binary.AppendUvarint(s.data, next)
	text(o.ID)
	s.data = binary.AppendVarint(s.data, o.version)
	s.data = binary.AppendUvarint(s.data, number)
	text(o.Tag)
	text(o.Title)
	s.data = binary.AppendVarint(s.data, o.Price.Minor)
	s.data = binary.AppendUvarint(s.data, uint64(len(o.Stock)))
	for _, name := range o.Variants() {
		text(name)
		s.data = binary.AppendVarint(s.data, int64(o.Stock[name]))
	}
	at(o.Opens)
	at(o.Closes)
	text(o.Picture)
	text(o.rare())
}

// numberOf is that of a fine print, which is kept if it is new.
func (s *shelf) numberOf(print finePrint) uint64 {
	if len(s.fine) > 0 && s.last.print == print {
		return s.last.number
	}
	if s.where == nil {
		s.where = map[unique.Handle[finePrint]]uint64{}
	}
	fine := unique.Make(print)
	number, ok := s.where[fine]
	if !ok {
		number = uint64(len(s.fine))
		s.fine, s.where[fine] = append(s.fine, fine), number
	}
	s.last.print, s.last.number = print, number
	return number
}

// get finds an offer by its id.
func (s *shelf) get(id string) (o Offer, ok bool) {
	// A miss is answered by one look into a map, and allocates nothing.
	begin, ok := s.begin[s.hashOf(id)]
	for ok {
		p := packed{data: s.data[begin:]}
		next := p.number()
		if string(p.bytes()) == id {
			return s.unpack(id, &p), true
		}
		begin, ok = uint32(next-1), next > 0
	}
	return o, false
}

// each shows all offers, in no order that means anything, until see returns false.
func (s *shelf) each(see func(Offer) bool) bool {
	for p := (packed{data: s.data}); len(p.data) > 0; {
		p.number()
		if !see(s.unpack(string(p.bytes()), &p)) {
			return false
		}
	}
	return true
}

// tags appends the hashtags of all offers.
func (s *shelf) tags(all []string) []string {
	s.eachTag(func(tag, _ []byte, others []string) {
		all = append(append(all, string(tag)), others...)
	})
	return all
}

// others are the ids of offers by the keys of their hashtags beside the first ones; nil if
// there are none.
func (s *shelf) others() (ids map[string]string) {
	s.eachTag(func(_, id []byte, others []string) {
		for _, tag := range others {
			if ids == nil {
				ids = map[string]string{}
			}
			if first, taken := ids[TagKey(tag)]; !taken || string(id) < first {
				ids[TagKey(tag)] = string(id)
			}
		}
	})
	return ids
}

// eachTag shows the hashtags of all offers, without unpacking what else they have: of a
// million offers that would be half a gigabyte for a moment.
func (s *shelf) eachTag(see func(tag, id []byte, others []string)) {
	for p := (packed{data: s.data}); len(p.data) > 0; {
		p.number() // what has the same hash
		id := p.bytes()
		p.signed() // version
		p.number() // fine print
		tag := p.bytes()
		p.bytes()  // title
		p.signed() // price
		for range p.number() {
			p.bytes()
			p.signed()
		}
		p.bytes() // opens
		p.bytes() // closes
		p.bytes() // picture
		var o Offer
		if rare := p.bytes(); len(rare) > 0 {
			o.addRare(rare)
		}
		see(tag, id, o.Tags)
	}
}

// without is a shelf with all offers but one.
func (s *shelf) without(id string) *shelf {
	fresh := &shelf{hash: s.hash}
	s.each(func(o Offer) bool {
		if o.ID != id {
			fresh.put(o)
		}
		return true
	})
	return fresh
}

// compact gives back what growing has left over.
func (s *shelf) compact() {
	begin := make(map[uint64]uint32, len(s.begin))
	for hash, at := range s.begin {
		begin[hash] = at
	}
	s.begin, s.data, s.fine = begin, bytes.Clone(s.data), slices.Clone(s.fine)
}

// unpack reads the rest of an offer.
func (s *shelf) unpack(id string, p *packed) Offer {
	o := Offer{ID: id, version: p.signed()}
	fine := s.fine[p.number()].Value()
	o.Seller, o.SellerAddress, o.SellerTaxNumber, o.Terms = fine.seller, fine.sellerAddress, fine.sellerTaxNumber, fine.terms
	o.Tax, o.PerBuyer, o.WithdrawalDays, o.Digital = fine.tax, fine.perBuyer, fine.withdrawalDays, fine.digital
	o.Tag, o.Title = p.text(), p.text()
	o.Price = Money{Minor: p.signed(), Currency: fine.currency}
	n := p.number()
	o.Stock = make(map[string]int, n)
	for range n {
		name := p.text()
		o.Stock[name] = int(p.signed())
	}
	o.Opens, o.Closes, o.Picture = p.time(), p.time(), p.text()
	if rare := p.bytes(); len(rare) > 0 {
		o.addRare(rare)
	}
	return o
}

// rareTerms are what few offers have. They are packed as JSON.
type rareTerms struct {
	Tags      []string            `json:"t,omitempty"`
	Aliases   map[string][]string `json:"a,omitempty"`
	Prices    []Money             `json:"p,omitempty"`
	Delivery  []Money             `json:"d,omitempty"`
	Zone      string              `json:"z,omitempty"`
	Hold      Hold                `json:"h,omitempty"`
	Waitlist  bool                `json:"w,omitempty"`
	TaxAdded  bool                `json:"x,omitempty"`
	Countries []string            `json:"c,omitempty"`
	Merchant  string              `json:"m,omitempty"`
}

// rare is what the offer has of them, "" if nothing.
func (o Offer) rare() string {
	r := rareTerms{o.Tags, o.Aliases, o.Prices, o.Delivery, o.Zone, o.Hold, o.Waitlist, o.TaxAdded, o.Countries, o.Merchant}
	if reflect.ValueOf(r).IsZero() {
		return ""
	}
	b, _ := json.Marshal(r) // nothing of it can fail
	if string(b) == "{}" {
		return ""
	}
	return string(b)
}

func (o *Offer) addRare(b []byte) {
	var r rareTerms
	_ = json.Unmarshal(b, &r) // it is as rare has written it
	o.Tags, o.Aliases, o.Prices, o.Delivery, o.Zone = r.Tags, r.Aliases, r.Prices, r.Delivery, r.Zone
	o.Hold, o.Waitlist, o.TaxAdded, o.Countries, o.Merchant = r.Hold, r.Waitlist, r.TaxAdded, r.Countries, r.Merchant
}

// packed is read from its beginning. It holds what put has written, and nothing else.
type packed struct{ data []byte }

func (p *packed) number() uint64 {
	n, size := binary.Uvarint(p.data)
	p.data = p.data[size:]
	return n
}

func (p *packed) signed() int64 {
	n, size := binary.Varint(p.data)
	p.data = p.data[size:]
	return n
}

func (p *packed) bytes() []byte {
	n := p.number()
	b := p.data[:n]
	p.data = p.data[n:]
	return b
}

func (p *packed) text() string { return string(p.bytes()) }

func (p *packed) time() (t time.Time) {
	if b := p.bytes(); len(b) > 0 {
		_ = t.UnmarshalBinary(b) // it is as MarshalBinary has written it
	}
	return t
}
