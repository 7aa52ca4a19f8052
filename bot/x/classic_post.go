package x

import (
	"strconv"
	"time"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"

	"hashtill/bot"
)

// number is an id of the classic API, which has it as a string and as a number.
func number(str string, n int64) string {
	switch {
	case isID(str):
		return str
	case n > 0:
		return strconv.FormatInt(n, 10)
	}
	return ""
}

// check says whether t has what makes a post.
func check(t *twitter.Tweet) error {
	if t == nil || number(t.IDStr, t.ID) == "" || t.User == nil || number(t.User.IDStr, t.User.ID) == "" {
		return errNoPost
	}
	return nil
}

// hidden says whether a post is not for everybody's eyes.
func hidden(t *twitter.Tweet) bool {
	return t.User.Protected || t.WithheldCopyright || len(t.WithheldInCountries) > 0 || len(t.User.WithheldInCountries) > 0
}

// statusText is the whole text of a post, unescaped: long ones come cut, with the
// rest in a field of their own
// (https://developer.x.com/en/docs/x-api/v1/tweets/sample-realtime/guides/tweet-updates).
func statusText(t *twitter.Tweet) string {
	text := t.Text
	switch {
	case t.ExtendedTweet != nil && t.ExtendedTweet.FullText != "":
		text = t.ExtendedTweet.FullText
	case t.FullText != "":
		text = t.FullText
	}
	return unescape(text)
}

// status reads a post of the classic shape, which check has found to be one.
func (rd reader) status(t *twitter.Tweet) bot.Post {
	p := rd.ownStatus(t)
	quoted, answered := number(t.QuotedStatusIDStr, t.QuotedStatusID), number(t.InReplyToStatusIDStr, t.InReplyToStatusID)
	answeredAuthor := number(t.InReplyToUserIDStr, t.InReplyToUserID)
	p.Implied = answered != "" && rd.implied(p)
	toBot := func(t *twitter.Tweet) bool { return check(t) == nil && number(t.User.IDStr, t.User.ID) == rd.self }
	switch {
	case t.RetweetedStatus != nil:
		p.Kind, p.Text, p.Tags, p.Names, p.Implied = bot.Repost, "", nil, nil, false
		p.Of = rd.of(t.RetweetedStatus, "")
	case quoted != "" && (answered == "" || answeredAuthor != rd.self || toBot(t.QuotedStatus)):
		p.Kind, p.Of = bot.Quote, rd.of(t.QuotedStatus, quoted)
	case answered != "":
		p.Kind = bot.Answer
		p.Of = &bot.Post{Network: name, ID: answered, Author: bot.Author{ID: answeredAuthor, Handle: t.InReplyToScreenName}}
	}
	return p
}

// of reads a post within a post; id is its number if it is not there.
func (rd reader) of(t *twitter.Tweet, id string) *bot.Post {
	if check(t) != nil {
		return &bot.Post{Network: name, ID: id}
	}
	p := rd.ownStatus(t)
	if quoted, answered := number(t.QuotedStatusIDStr, t.QuotedStatusID), number(t.InReplyToStatusIDStr, t.InReplyToStatusID); quoted != "" {
		p.Kind, p.Of = bot.Quote, &bot.Post{Network: name, ID: quoted}
	} else if answered != "" {
		p.Kind, p.Of = bot.Answer, &bot.Post{Network: name, ID: answered}
	}
	return &p
}

// ownStatus reads a post without its relations.
func (rd reader) ownStatus(t *twitter.Tweet) bot.Post {
	id := number(t.IDStr, t.ID)
	p := bot.Post{
		Network: name,
		ID:      id,
		Author:  bot.Author{ID: number(t.User.IDStr, t.User.ID), Handle: t.User.ScreenName},
		At:      postedAt("", id),
		Text:    statusText(t),
		Lang:    language(t.Lang),
	}
	if at, err := time.Parse(time.RubyDate, t.CreatedAt); err == nil {
		p.At = at.UTC()
	}
	found := t.Entities
	if t.ExtendedTweet != nil && t.ExtendedTweet.FullText != "" {
		found = t.ExtendedTweet.Entities
	}
	if found == nil {
		p.Tags = bot.Tags(p.Text)
		p.Names = rd.names(nil, p.Text)
		return p
	}
	for _, h := range within(found.Hashtags) {
		if h.Text != "" {
			p.Tags = append(p.Tags, h.Text)
		}
	}
	for _, m := range within(found.UserMentions) {
		p.Names = appendNew(p.Names, number(m.IDStr, m.ID))
	}
	return p
}
