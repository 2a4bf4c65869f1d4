package cell

import (
	"testing"

	k8sTables "github.com/cilium/cilium/pkg/k8s/tables"

	"github.com/poolscope/poolscope/bindings/go/cilium/internal/celltest"
)

func TestMain(m *testing.M) { celltest.Main(m) }

func TestCell(t *testing.T) { celltest.Cilium{PodTables: k8sTables.TablesCell}.Run(t) }
