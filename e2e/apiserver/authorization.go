package apiserver

import "testing"

// StartWithRBAC is Start with the authorizers of a cluster: only the administrator has all rights.
func StartWithRBAC(t testing.TB) *Server {
	t.Helper()
	s := Start(t)
	s.Stop(t)
	s.authorization = "Node,RBAC"
	s.Resume(t)
	return s
}
