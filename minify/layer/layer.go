// Package layer writes a selection as one image layer, byte for byte
// reproducible, and puts the image around it.
package layer
