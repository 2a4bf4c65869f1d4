package cilium

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
)

// The agent's maps, where it pins them.
const pinned = "/sys/fs/bpf/tc/globals/"

// familyMaps are the agent's load balancing maps of one address family, read as its programs read
// them.
type familyMaps struct{ services, backends *ebpf.Map }

// bothMaps are those of IPv4 and of IPv6.
type bothMaps struct{ v4, v6 familyMaps }

func openMaps(t *testing.T) bothMaps {
	t.Helper()
	return bothMaps{
		familyMaps{load(t, "cilium_lb4_services_v2"), load(t, "cilium_lb4_backends_v3")},
		familyMaps{load(t, "cilium_lb6_services_v2"), load(t, "cilium_lb6_backends_v3")},
	}
}

// have says whether every way to the Service leads to just these pods.
func (b bothMaps) have(pods []pod) error {
	for _, service := range []frontend{tcp4, udp4, tcp6, udp6} {
		maps, address := b.v4, pod.v4
		if service.ip.Is6() {
			maps, address = b.v6, pod.v6
		}
		var expected []string
		for _, pod := range pods {
			expected = append(expected, netip.MustParseAddr(address(pod)).String())
		}
		slices.Sort(expected)
		found, err := maps.of(service)
		if err == nil && !slices.Equal(found, expected) {
			err = fmt.Errorf("%s has %v, not %v", service, found, expected)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func load(t *testing.T, name string) *ebpf.Map {
	t.Helper()
	loaded, err := ebpf.LoadPinnedMap(pinned+name, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loaded.Close() })
	return loaded
}

// of gives the addresses of a Service's backends: its slot 0 holds their number, the others their
// identifiers. It fails while the agent is about to write them.
func (m familyMaps) of(service frontend) (found []string, err error) {
	count, err := m.slot(service, 0)
	if err != nil {
		return nil, err
	}
	for slot := range binary.NativeEndian.Uint16(count[4:]) {
		value, err := m.slot(service, slot+1)
		if err != nil {
			return nil, err
		}
		var backend []byte
		if err := m.backends.Lookup(value[:4], &backend); err != nil {
			return nil, err
		}
		address, _ := netip.AddrFromSlice(backend[:service.ip.BitLen()/8])
		found = append(found, address.String())
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// slot looks up a slot of a Service.
func (m familyMaps) slot(service frontend, slot uint16) (value []byte, err error) {
	if err := m.services.Lookup(slotKey(service, slot), &value); err != nil {
		return nil, fmt.Errorf("%s has no slot %d: %w", service, slot, err)
	}
	if len(value) < 8 {
		return nil, errors.New("a value of another size")
	}
	return value, nil
}

// slotKey is Service4Key or Service6Key: address, port, slot, protocol, scope, padding.
func slotKey(service frontend, slot uint16) []byte {
	key := service.ip.AsSlice()
	key = binary.BigEndian.AppendUint16(key, port)
	key = binary.NativeEndian.AppendUint16(key, slot)
	protocol := byte(6)
	if service.network == "udp" {
		protocol = 17
	}
	return append(key, protocol, 0, 0, 0)
}

// count is how many entries a map has.
func count(t *testing.T, in *ebpf.Map) (entries int) {
	t.Helper()
	var key, value []byte
	each := in.Iterate()
	for each.Next(&key, &value) {
		entries++
	}
	if err := each.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}
