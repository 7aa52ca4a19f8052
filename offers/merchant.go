package offers

import "strings"

// ValidMerchantID says whether s can be the id of a merchant: 1 to 40 lower-case letters,
// digits and dashes.
func ValidMerchantID(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}
