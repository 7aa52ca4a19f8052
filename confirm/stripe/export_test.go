package stripe

// Hasten has requests not wait for the budget: tests whose clock stands still.
func (t *Till) Hasten() { t.budget.patience = 0 }
