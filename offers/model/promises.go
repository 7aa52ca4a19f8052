package model

// broken says which promise does not hold in a world, or "".
func (w World) broken() string {
	p := w.P
	var own payment
	if p.Intent > 0 {
		own = w.Payments[p.Intent-1]
	}
	money := w.Payments[0] == taken || w.Payments[1] == taken
	pressed := p.Attempt > 0 && w.Pressed != 0
	goesBack := p.Refunds[0] + p.Refunds[1]
	switch {
	case w.Charges > 1:
		return "a purchase is charged once"
	case money && own != taken:
		return "only the purchase's own payment is ever charged"
	case money && !w.OwnEcho:
		return "nothing is charged without an echo by the buyer"
	case money && !pressed:
		return "nothing is charged without a press in time"
	case p.State == Confirmed && w.Pressed&(1<<p.Attempt) == 0:
		return "what is confirmed was pressed in time"
	case money && w.TakenBack:
		return "nothing is charged after it was taken back"
	case p.Held && w.Rival:
		return "there is one unit"
	case !p.Held && (own == open || own == failed || own == atBank):
		return "a unit is held until no payment can be taken for it"
	case !p.Held && own == taken && p.State != Refunded:
		return "what is sold is held"
	case p.Held && (p.State == New || p.State == Invited || p.State == Refunded):
		return "a unit is held for a wish that counts"
	case (p.State == Paid || p.State == Refunded) && !money:
		return "what is paid was charged"
	case p.State == Confirmed && !p.Late && !w.Owed.has(charge1+effect(p.Attempt)-1):
		return "what is confirmed is owed its charge"
	case p.State == Challenged && !w.Owed.has(look):
		return "while the bank asks, Stripe is looked at"
	case p.State.over() && p.Intent > 0 && p.Held && !w.Owed.has(void):
		return "what ended with a payment is owed its cancellation"
	case p.State.over() && p.Intent == 0 && p.Held && !w.Owed.has(prepare):
		return "what ended while its payment was being prepared waits for it"
	case p.State == Paid && w.TakenBack:
		return "what was taken back is not sold"
	case w.PaidBack > 2 || goesBack > 2:
		return "not more goes back than came"
	case p.State == Paid && p.Refunds[0] > 0 && !p.RefundsMade[0] && !w.Owed.has(refund1),
		p.State == Paid && p.Refunds[1] > 0 && !p.RefundsMade[1] && !w.Owed.has(refund2):
		return "a refund that was decided is owed until it is made"
	case p.State == Refunded && w.PaidBack != 2:
		return "what is refunded went back"
	case w.Twice:
		return "an effect is owed once"
	}
	return ""
}

// settled: nothing more is to come.
func (w World) settled() bool {
	if w.P.State == New {
		return w.Owed == 0
	}
	return w.P.State.ended() && w.Owed == 0 && w.Workers == [2]worker{} &&
		(w.P.State == Paid) == (w.P.Held) &&
		(w.P.State == Paid || w.P.State == Refunded || w.Payments[0] != taken && w.Payments[1] != taken)
}

// seeCircles looks at the moves that are sure to come: from every circle of them one
// must lead out that can be taken in each of its worlds. As every world without such a
// move is settled, every fair run then ends settled.
func (x *explorer) seeCircles() {
	for _, circle := range x.circles() {
		inside := make(map[int32]bool, len(circle))
		for _, n := range circle {
			inside[n] = true
		}
		ways := map[string]int{} // how many of its worlds a move leads out of, always
		for _, n := range circle {
			for _, s := range x.steps[x.sure[n]:x.sure[n+1]] {
				if !inside[s.to] {
					ways[s.what]++
				}
			}
		}
		out := false
		for _, worlds := range ways {
			out = out || worlds == len(circle)
		}
		if !out {
			x.broken(circle[0], "no circle is stayed on for ever")
		}
	}
}

// circles are the sets of worlds of which each can be reached from each other by moves
// that are sure to come (Tarjan's strongly connected components, without recursion).
func (x *explorer) circles() [][]int32 {
	n := len(x.sure) - 1
	const unseen = -1
	index, low, onStack := make([]int32, n), make([]int32, n), make([]bool, n)
	for i := range index {
		index[i] = unseen
	}
	type frame struct{ at, next int32 }
	var found [][]int32
	var stack []int32
	var calls []frame
	count := int32(0)
	for root := range int32(n) {
		if index[root] != unseen {
			continue
		}
		calls = append(calls, frame{root, x.sure[root]})
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			if f.next == x.sure[f.at] && index[f.at] == unseen {
				index[f.at], low[f.at], onStack[f.at] = count, count, true
				count++
				stack = append(stack, f.at)
			}
			if f.next < x.sure[f.at+1] {
				to := x.steps[f.next].to
				f.next++
				if index[to] == unseen {
					calls = append(calls, frame{to, x.sure[to]})
				} else if onStack[to] {
					low[f.at] = min(low[f.at], index[to])
				}
				continue
			}
			at := f.at
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				above := calls[len(calls)-1].at
				low[above] = min(low[above], low[at])
			}
			if low[at] != index[at] {
				continue
			}
			var circle []int32
			for {
				last := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				onStack[last] = false
				circle = append(circle, last)
				if last == at {
					break
				}
			}
			if len(circle) > 1 {
				found = append(found, circle)
			}
		}
	}
	return found
}
