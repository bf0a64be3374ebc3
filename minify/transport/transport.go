// Package transport loads and stores images: Docker daemon, registry, OCI
// layout and archives.
package transport
