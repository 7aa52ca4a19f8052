package xtest

import (
	"fmt"
	"net/http"
	"strings"
)

// answer is what an endpoint answers.
type answer struct {
	status int
	body   any
	deed   *Deed   // what was done, if something was
	stream *stream // instead of a body
	header http.Header
	text   string // instead of a body, with its Content-Type in header
}

type object = map[string]any

// Problem types of https://docs.x.com/x-api/fundamentals/response-codes-and-errors.
const problems = "https://api.twitter.com/2/problems/"

// about is a problem without a type of its own.
func about(status int, detail string) answer {
	return answer{status: status, body: object{
		"title": http.StatusText(status), "detail": detail, "type": "about:blank", "status": status,
	}}
}

// The refusals of https://docs.x.com/x-api/posts/create-post.
var (
	notEngaged   = about(403, "Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to.")
	duplicate    = about(403, "You are not allowed to create a Tweet with duplicate content.")
	noTarget     = about(403, "You attempted to reply to a Tweet that is deleted or not visible to you.")
	notPermitted = about(403, "You are not permitted to perform this action.") // X's exact words for quotes by API are not known
	unauthorized = about(401, "Unauthorized")
	readOnly     = answer{status: 403, body: object{
		"title":  "Forbidden",
		"detail": "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint.",
		"type":   problems + "oauth1-permissions",
		"status": 403,
	}}
	spentLimit  = about(429, "Too Many Requests")
	unknownPath = about(404, "Not Found")
)

// invalid is a 400 about one parameter; parameter is "" for the body.
func invalid(parameter, value, message string) answer {
	parameters := object{}
	if parameter != "" {
		parameters[parameter] = []string{value}
	}
	return answer{status: 400, body: object{
		"errors": []object{{"parameters": parameters, "message": message}},
		"title":  "Invalid Request",
		"detail": "One or more parameters to your request was invalid.",
		"type":   problems + "invalid-request",
	}}
}

// wrongAuth is for a way of signing in that an endpoint does not take.
func wrongAuth(used string, supported ...string) answer {
	return answer{status: 403, body: object{
		"title":  "Unsupported Authentication",
		"detail": fmt.Sprintf("Authenticating with %s is forbidden for this endpoint.  Supported authentication types are [%s].", used, strings.Join(supported, ", ")),
		"type":   problems + "unsupported-authentication",
		"status": 403,
	}}
}

// notFound is the partial error for a post or user that is not there.
func notFound(kind, parameter, id string) object {
	return object{
		"value": id, "resource_id": id, "resource_type": kind, "parameter": parameter,
		"title":  "Not Found Error",
		"detail": fmt.Sprintf("Could not find %s with %s: [%s].", kind, parameter, id),
		"type":   problems + "resource-not-found",
	}
}

// hidden is the partial error for a post of a protected account.
func hidden(parameter, id string) object {
	return object{
		"value": id, "resource_id": id, "resource_type": "tweet", "parameter": parameter,
		"section": "data",
		"title":   "Authorization Error",
		"detail":  fmt.Sprintf("Sorry, you are not authorized to see the Tweet with %s: [%s].", parameter, id),
		"type":    problems + "not-authorized-for-resource",
	}
}

// hiddenField is the partial error for a field that the caller may not see.
func hiddenField(id, field string) object {
	return object{
		"value": id, "resource_id": id, "resource_type": "user", "parameter": "id", "field": field,
		"section": "data",
		"title":   "Field Authorization Error",
		"detail":  fmt.Sprintf("Sorry, you are not authorized to access '%s' on the User with id : [%s].", field, id),
		"type":    problems + "not-authorized-for-field",
	}
}

// connectionProblem is for a stream that cannot be opened.
func connectionProblem(status int, issue, detail string) answer {
	return answer{status: status, body: object{
		"title": "ConnectionException", "detail": detail, "connection_issue": issue,
		"type": problems + "streaming-connection",
	}}
}

// classicError is a refusal of API v1.1.
// https://developer.x.com/en/support/x-api/error-troubleshooting
func classicError(status, code int, message string) answer {
	return answer{status: status, body: object{"errors": []object{{"code": code, "message": message}}}}
}

// noAccess is what v1.1 answers today.
var noAccess = classicError(403, 453, "You currently have access to a subset of X API V2 endpoints and limited v1.1 endpoints (e.g. media post, oauth) only. If you need access to this endpoint, you may need a different access level. You can learn more here: https://developer.x.com/en/portal/product")
