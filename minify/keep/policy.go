package keep

import "slices"

// Policy is how far a selection goes beyond what the run touched.
type Policy string

// The policies; each keeps what the one before keeps, and more.
const (
	// Accessed: what was touched, and what touching implies.
	Accessed Policy = "accessed"
	// Units: what was touched in part is completed, and what kept code names or
	// imports is kept too; what no program needs when it runs stays out.
	Units Policy = "units"
	// Packages: whole packages of the system, and those they depend on.
	Packages Policy = "packages"
)

// Policies are all of them, from the least kept to the most.
var Policies = []Policy{Accessed, Units, Packages}

// Valid reports whether p is one of Policies.
func (p Policy) Valid() bool { return slices.Contains(Policies, p) }
