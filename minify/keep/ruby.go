package keep

type rubyRules struct{}

func (s *selector) rubyStarted(i int) {}
func (s *selector) rubySource(i int)  {}
