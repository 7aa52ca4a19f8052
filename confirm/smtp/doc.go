// Package smtp hands mails to a merchant's mail server: it is a [confirm.Mailer]
// over github.com/wneessen/go-mail.
//
// # What a try comes to
//
//	the server's 250 was read                        nil, whatever went wrong after it
//	5xx in answer to RCPT or DATA                    *confirm.RefusedError, Reason MailRefused: final for that address
//	530, 534, 535 or 538, wherever it comes          an error that points at smtp.username and smtp.password_file
//	5xx in answer to the greeting, EHLO, MAIL        an error: it is about us, not about the reader
//	4xx, time-out, cut connection, no server, TLS    an error
//
// Every error but the refusal means: send the same mail again. go-mail calls a
// time-out or a cut connection permanent (its IsTemp is false, its code 0), which
// would lose mail; so only the server's own 5xx counts here, and only where it is
// about the reader or the mail.
//
// # Twice
//
// If the connection dies after the server has the whole mail and before its 250 is
// read, nobody can know, and the mail is sent again. Both copies have the same
// Message-ID, which follows from the mail's ID alone, so that the reader's program
// can fold them; whoever writes the mail sees to it that both say the same.
//
// # The mail
//
// UTF-8, text with HTML as its alternative, quoted-printable, and the headers
// Message-ID (under the domain of From), Date, Content-Language and Auto-Submitted:
// auto-generated (RFC 3834), which keeps out-of-office programs from answering.
// There are no control characters in any header, and an address that is not exactly
// one address is refused before anything is sent.
//
// # Encryption
//
//	starttls   the connection is upgraded (RFC 3207) or not used
//	implicit   encrypted from the first byte (RFC 8314)
//	none       not encrypted; a password is then sent to loopback alone
//
// Certificates are always checked, against the name in smtp.host.
//
// # Errors and privacy
//
// Servers like to repeat addresses in their refusals. So of what a server says only
// the reply codes are passed on (RFC 5321, RFC 3463); the rest is in its own log.
package smtp
