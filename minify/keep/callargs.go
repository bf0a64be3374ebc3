package keep

import (
	"slices"
	"strings"
)

// arguments are where the arguments of a call begin, from token open on; the last is where it ends.
func (c *callReader) arguments(open int) []int {
	starts := []int{open}
	depth := 0
	for k := open; k < len(c.tokens) && k < open+2000; k++ {
		if c.tokens[k].kind != operatorToken {
			continue
		}
		switch c.tokens[k].text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			if depth--; depth < 0 {
				return append(starts, k)
			}
		case ";":
			if depth == 0 {
				return append(starts, k)
			}
		case ",":
			if depth == 0 {
				starts = append(starts, k+1)
			}
		}
	}
	return append(starts, min(len(c.tokens), open+2000))
}

// take notes the command of one call.
func (c *callReader) take(f call, args []int, open int) {
	end := args[len(args)-1]
	args = args[:len(args)-1]
	if f.first >= len(args) || args[f.first] >= end {
		return
	}
	at := args[f.first]
	if f.how == piped {
		c.pipe(args, end)
		return
	}
	// A hash of the environment may come first in Ruby.
	if c.name == "ruby" && c.at(at) == "{" && len(args) > 1 {
		args = args[1:]
		at = args[0]
	}
	if f.how == direct && c.goesThroughShell(open, end) {
		f.how = shelled
	}
	if name := c.tokens[at]; name.kind == nameToken {
		if c.at(at+1) == "." || c.at(at+1) == "(" {
			return
		}
		k, ok := c.consts[name.text]
		if !ok {
			c.handedOn(at, name.text, f)
			return
		}
		at = k
	}
	switch t := c.tokens[at]; {
	case t.kind == wordsToken:
		c.list(strings.Fields(t.text), t)
	case c.at(at) == "[" || c.at(at) == "(":
		c.literalList(at)
	case t.kind != stringToken && t.kind != shellToken:
	case f.how == shelled, f.how == either && len(args) == f.first+1 && strings.ContainsAny(t.text, "*?{}[]<>()~&|\\$;'`\"\n#="):
		c.shell(c.joined(at, append(args, end)[f.first+1]))
	case f.how == either && len(args) == f.first+1, f.how == words:
		c.list(strings.Fields(t.text), t)
	default:
		list := []string{t.text}
		if !t.hole && !c.concatenated(at) {
			for _, k := range args[f.first+1:] {
				if c.at(k) == "&" { // Rust's &["a", "b"]
					k++
				}
				switch t := c.tokens[min(k, len(c.tokens)-1)]; {
				case t.kind == stringToken:
					list = append(list, t.text)
				case t.text == "[":
					list = append(list, c.strings(k)...)
				}
			}
			list = append(list, c.chained(end)...)
			c.list(list, t)
		}
	}
}

// pipe takes Perl's open(F, "-|", "program", …), open(F, "program |").
func (c *callReader) pipe(args []int, end int) {
	for k, at := range args[1:] {
		t := c.tokens[min(at, end-1)]
		if t.kind != stringToken {
			continue
		}
		switch text := strings.TrimSpace(t.text); {
		case text == "-|" || text == "|-":
			if k+2 < len(args) {
				c.take(call{how: either, first: k + 2}, append(slices.Clone(args), end), args[0])
			}
		case len(text) > 1 && (text[0] == '|' || text[len(text)-1] == '|'):
			t.text = strings.Trim(text, "| ")
			c.shell(t)
		}
		return
	}
}

// goesThroughShell reports whether the call asks for a shell: shell=True, shell: true.
func (c *callReader) goesThroughShell(open, end int) bool {
	for k := open; k+2 < end; k++ {
		if c.at(k) != "shell" || c.at(k+1) != "=" && c.at(k+1) != ":" {
			continue
		}
		v := c.tokens[k+2]
		return strings.EqualFold(v.text, "true") || v.text == "1" || v.kind == stringToken
	}
	return false
}

// concatenated reports whether the string goes on with something else.
func (c *callReader) concatenated(at int) bool {
	switch c.at(at + 1) {
	case "+", ".", "%":
		return true
	}
	return false
}

// chained are the literals of Rust's .arg("x") and .args(["x"]) behind a call that ends
// at token end.
func (c *callReader) chained(end int) []string {
	var list []string
	for c.name == "rust" && c.at(end+1) == "." && (c.at(end+2) == "arg" || c.at(end+2) == "args") && c.at(end+3) == "(" {
		args := c.arguments(end + 4)
		list = append(list, c.strings(end+3)...)
		if k := end + 4; c.at(k) == "[" || c.at(k+1) == "[" {
			list = append(list, c.strings(k)...)
		}
		end = args[len(args)-1]
	}
	return list
}

// joined is the text that the literals from token at up to stop make with what stands
// between them: "x " . f($y) . " | z".
func (c *callReader) joined(at, stop int) token {
	t := c.tokens[at]
	depth := 0
	for k := at + 1; k < min(stop, len(c.tokens)); k++ {
		u := c.tokens[k]
		switch text := c.at(k); {
		case text == "(" || text == "[" || text == "{":
			depth++
		case text == ")" || text == "]" || text == "}":
			depth--
		case depth > 0, text == "+", text == ".", text == ",":
		case u.kind == stringToken:
			t.text += u.text
			continue
		}
		if depth == 0 && c.at(k) != "," && !strings.HasSuffix(t.text, hole) {
			t.text += hole
		}
	}
	return t
}

// literalList takes a list with the program as its first literal.
func (c *callReader) literalList(at int) {
	if at+1 < len(c.tokens) {
		switch t := c.tokens[at+1]; t.kind {
		case stringToken:
			if !t.hole && !c.concatenated(at+1) {
				c.list(c.strings(at), t)
			}
		case nameToken: // a constant
			if k, ok := c.consts[t.text]; ok && c.tokens[k].kind == stringToken && !c.tokens[k].hole && (c.at(at+2) == "," || c.at(at+2) == "]") {
				c.list(append([]string{c.tokens[k].text}, c.strings(at)...), c.tokens[k])
			}
		}
	}
}

// strings are the literals of the list that opens at token at; "" for what is none.
func (c *callReader) strings(at int) []string {
	var list []string
	depth := 0
	for k := at; k < len(c.tokens) && k < at+1000; k++ {
		t := c.tokens[k]
		switch {
		case t.kind == stringToken && depth == 1:
			if t.hole {
				t.text = ""
			}
			list = append(list, t.text)
		case t.kind != operatorToken:
		case t.text == "(" || t.text == "[" || t.text == "{":
			depth++
		case t.text == ")" || t.text == "]" || t.text == "}":
			if depth--; depth == 0 {
				return list
			}
		}
	}
	return list
}

func (c *callReader) list(list []string, t token) {
	if len(list) > 0 && list[0] != "" && !strings.Contains(list[0], hole) {
		c.found = append(c.found, sourceCommand{text: list[0], words: list, line: t.line})
	}
}

// shell takes a text for a shell.
func (c *callReader) shell(t token) {
	if strings.TrimSpace(strings.ReplaceAll(t.text, hole, "")) != "" {
		c.found = append(c.found, sourceCommand{text: t.text, shell: t.text, line: t.line})
	}
}
