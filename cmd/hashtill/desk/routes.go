package desk

import "html/template"

// Each file of pages defines its own routes; those that are not written yet stand here.
var (
	signInRoutes   []route
	offerRoutes    []route
	saleRoutes     []route
	peopleRoutes   []route
	orderRoutes    []route
	moneyRoutes    []route
	operatorRoutes []route
)

var functions = template.FuncMap{}
