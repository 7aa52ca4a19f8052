package xtest

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a pay-per-use app may have.
// https://docs.x.com/x-api/posts/filtered-stream/introduction
const (
	maxRules      = 1000
	maxRuleLength = 1024
)

// rule is a rule of the filtered stream. Rules belong to the app and outlive
// its connections.
type rule struct {
	id, value, tag string
	clause         clause
}

func (r rule) object() object {
	o := object{"id": r.id, "value": r.value}
	if r.tag != "" {
		o["tag"] = r.tag
	}
	return o
}

// getRules serves https://docs.x.com/x-api/stream/get-stream-rules.
func (s *Server) getRules(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	if c.query.Has("ids") {
		ids = strings.Split(c.query.Get("ids"), ",")
	}
	var data []object
	for _, r := range s.rules {
		if ids == nil || slices.Contains(ids, r.id) {
			data = append(data, r.object())
		}
	}
	body := object{"meta": object{"sent": s.sent(), "result_count": len(data)}}
	if len(data) > 0 {
		body["data"] = data
	}
	return answer{status: 200, body: body}
}

// changeRules serves https://docs.x.com/x-api/stream/update-stream-rules. New
// rules take effect at once, where X may take 20 seconds. X does not document
// what becomes of good rules sent along with bad ones; here they are created.
func (s *Server) changeRules(c *call) answer {
	var body struct {
		Add []struct {
			Value string `json:"value"`
			Tag   string `json:"tag"`
		} `json:"add"`
		Delete *struct {
			IDs    []string `json:"ids"`
			Values []string `json:"values"`
		} `json:"delete"`
	}
	if refusal, ok := decode(c, &body); !ok {
		return refusal
	}
	if (len(body.Add) > 0) == (body.Delete != nil) {
		return invalid("", "", "Exactly one of add and delete must be given")
	}
	dry := c.query.Get("dry_run") == "true"
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.rules
	s.rules = slices.Clone(before)
	var a answer
	if body.Delete != nil {
		a = s.deleteRules(body.Delete.IDs, body.Delete.Values)
	} else {
		var added []rule
		for _, r := range body.Add {
			added = append(added, rule{value: r.Value, tag: r.Tag})
		}
		a = s.addRules(added)
	}
	if dry {
		s.rules = before
		return a
	}
	a.deed = &Deed{}
	return a
}

// addRules must be called with the lock held, like all below.
func (s *Server) addRules(added []rule) answer {
	if len(s.rules)+len(added) > maxRules {
		return answer{status: 422, body: object{"errors": []object{{
			"title": "RulesCapExceeded", "type": problems + "rule-cap",
			"detail": "Rules cannot be created: the limit is " + strconv.Itoa(maxRules) + " rules.",
		}}}}
	}
	var created, errors []object
	for _, r := range added {
		var err error
		same := slices.IndexFunc(s.rules, func(other rule) bool { return other.value == r.value })
		if same >= 0 {
			errors = append(errors, object{"value": r.value, "id": s.rules[same].id,
				"title": "DuplicateRule", "type": problems + "duplicate-rules"})
			continue
		}
		if n := utf8.RuneCountInString(r.value); n > maxRuleLength {
			errors = append(errors, invalidRule(r.value, "Rule length must be at most "+strconv.Itoa(maxRuleLength)+" characters, got "+strconv.Itoa(n)))
			continue
		}
		if r.clause, err = parseRule(r.value); err != nil {
			errors = append(errors, invalidRule(r.value, err.Error()))
			continue
		}
		r.id = strconv.FormatInt(s.snowflake(), 10)
		s.rules = append(s.rules, r)
		created = append(created, r.object())
	}
	body := object{"meta": object{"sent": s.sent(), "summary": object{
		"created": len(created), "not_created": len(errors), "valid": len(created), "invalid": len(errors),
	}}}
	status := 200
	if len(created) > 0 {
		status, body["data"] = 201, created
	}
	if len(errors) > 0 {
		body["errors"] = errors
	}
	return answer{status: status, body: body}
}

func (s *Server) deleteRules(ids, values []string) answer {
	deleted := 0
	var errors []object
	remove := func(value string, is func(rule) bool) {
		if i := slices.IndexFunc(s.rules, is); i >= 0 {
			s.rules = slices.Delete(s.rules, i, i+1)
			deleted++
			return
		}
		errors = append(errors, object{
			"errors": []object{{"parameters": object{}, "message": "Rule does not exist: " + value}},
			"title":  "Invalid Request", "detail": "One or more parameters to your request was invalid.", "type": problems + "invalid-request",
		})
	}
	for _, id := range ids {
		remove(id, func(r rule) bool { return r.id == id })
	}
	for _, value := range values {
		remove(value, func(r rule) bool { return r.value == value })
	}
	body := object{"meta": object{"sent": s.sent(), "summary": object{"deleted": deleted, "not_deleted": len(errors)}}}
	if len(errors) > 0 {
		body["errors"] = errors
	}
	return answer{status: 200, body: body}
}

func invalidRule(value, detail string) object {
	return object{"value": value, "details": []string{detail}, "title": "UnprocessableEntity", "type": problems + "invalid-rules"}
}

// sent is the date in meta objects.
func (s *Server) sent() string {
	return s.opts.Now().UTC().Format("2006-01-02T15:04:05.000Z")
}
