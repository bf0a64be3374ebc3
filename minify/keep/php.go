package keep

type phpRules struct{}

func (s *selector) phpStarted(i int) {}
func (s *selector) phpSource(i int)  {}
