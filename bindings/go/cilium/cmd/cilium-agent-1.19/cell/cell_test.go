package cell

import (
	"testing"

	daemonk8s "github.com/cilium/cilium/daemon/k8s"

	"github.com/poolscope/poolscope/bindings/go/cilium/internal/celltest"
)

func TestMain(m *testing.M) { celltest.Main(m) }

func TestCell(t *testing.T) { celltest.Cilium{PodTables: daemonk8s.TablesCell}.Run(t) }
