//go:build !poolscope_cgo && (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x)

package poolscope

import "syscall"

// reserve reserves addresses for all memory that a guest may get. The system provides memory as the
// guest grows into it, so that nothing is copied or moved. It returns nil if the system refuses, as
// it does under a limit on addresses.
func reserve() []byte {
	reserved, err := syscall.Mmap(
		-1, 0, maxPages*pageSize, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON,
	)
	if err != nil {
		return nil
	}
	return reserved
}

// commit makes reserved memory usable. Its bytes are 0.
func commit(reserved []byte) error {
	return syscall.Mprotect(reserved, syscall.PROT_READ|syscall.PROT_WRITE)
}

// unmap gives the addresses and the memory back.
func unmap(reserved []byte) { _ = syscall.Munmap(reserved) }
