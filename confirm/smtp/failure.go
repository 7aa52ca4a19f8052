package smtp

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"

	"github.com/wneessen/go-mail"

	"hashtill/confirm"
	"hashtill/offers"
)

// failure judges why a mail was not delivered.
func (s *session) failure(ctx context.Context, err error) error {
	var e *mail.SendError
	if !errors.As(err, &e) {
		return failure(ctx, "send", err)
	}
	code := e.ErrorCode()
	if code == 0 {
		// No QUIT here: in the middle of DATA it would end the mail, and half of it
		// would be delivered.
		if ctx.Err() != nil {
			return fmt.Errorf("smtp: no answer to %s: %w", stage(e.Reason), ctx.Err())
		}
		return fmt.Errorf("smtp: the connection was lost, or timed out, at %s", stage(e.Reason))
	}
	s.quit()
	what := fmt.Sprintf("the server answers %d", code)
	if e.EnhancedStatusCode() != "" {
		what += " " + e.EnhancedStatusCode()
	}
	what += " to " + stage(e.Reason)
	switch {
	case isLogin(code):
		return loginError(what)
	case code < 500, e.Reason == mail.ErrSMTPMailFrom:
		return errors.New("smtp: " + what)
	}
	return &confirm.RefusedError{Why: "smtp: " + what, Reason: offers.MailRefused}
}

// failure is why there is no session. The server has been told nothing of the mail
// then, so that what go-mail, the network and TLS say can be passed on.
func failure(ctx context.Context, at string, err error) error {
	var (
		reply   *textproto.Error
		garbage textproto.ProtocolError
	)
	switch {
	case errors.As(err, &reply) && isLogin(reply.Code):
		return loginError(fmt.Sprintf("the server answers %d", reply.Code))
	case errors.As(err, &reply):
		return fmt.Errorf("smtp: %s: the server answers %d", at, reply.Code)
	case errors.As(err, &garbage):
		return fmt.Errorf("smtp: %s: what answers there is not a mail server: check smtp.host, smtp.port and smtp.tls", at)
	case ctx.Err() != nil:
		return fmt.Errorf("smtp: %s: %w", at, ctx.Err())
	}
	return fmt.Errorf("smtp: %s: %w", at, err)
}

// isLogin says that a reply is about who we are (RFC 4954, section 6).
func isLogin(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

func loginError(what string) error {
	return fmt.Errorf("smtp: %s: it does not let us in: check smtp.username, smtp.password_file and smtp.tls", what)
}

// stage is the command at which a delivery ended.
func stage(r mail.SendErrReason) string {
	switch r {
	case mail.ErrSMTPMailFrom:
		return "MAIL"
	case mail.ErrSMTPRcptTo:
		return "RCPT"
	case mail.ErrSMTPData, mail.ErrWriteContent, mail.ErrSMTPDataClose:
		return "DATA"
	}
	return "sending"
}
