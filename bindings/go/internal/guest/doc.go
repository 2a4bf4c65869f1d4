// Package guest is the library's C ABI, translated to Go from wasm. The generated code is of no use
// but through package poolscope. `make guest` writes it; translate is its last step.
package guest
