package desk

import "html/template"

// functions are those of the templates.
var functions = template.FuncMap{
	"place": func(i int) int { return i + 1 }, // of the i-th in a list, for people
}
