package clients

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

// table maps the address and port of a Service to those of the endpoints that kube-proxy forwards
// to, in order. An empty entry refuses connections.
type table map[string][]string

func (t table) add(frontend string, endpoints ...string) {
	t[frontend] = append(t[frontend], endpoints...)
	slices.Sort(t[frontend])
	t[frontend] = slices.Compact(t[frontend])
}

// family is one of the two IP families in the words of the tools.
type family struct{ nft, save string }

var families = []family{{"ip", "iptables-save"}, {"ip6", "ip6tables-save"}}

// nftTable reads the rules of kube-proxy's mode nftables.
func nftTable(n namespace) (table, error) {
	read := table{}
	for _, family := range families {
		out, err := n.command("nft", "-j", "list", "table", family.nft, "kube-proxy").Output()
		if err != nil {
			return nil, fmt.Errorf("nft on %s: %w", n, err)
		}
		var listed struct {
			Objects []struct {
				Map *struct {
					Name  string `json:"name"`
					Pairs []any  `json:"elem"`
				} `json:"map"`
				Rule *struct {
					Chain string `json:"chain"`
					Parts []any  `json:"expr"`
				} `json:"rule"`
			} `json:"nftables"`
		}
		if err := json.Unmarshal(out, &listed); err != nil {
			return nil, err
		}
		chains := map[string][]any{}
		for _, object := range listed.Objects {
			if rule := object.Rule; rule != nil {
				chains[rule.Chain] = append(chains[rule.Chain], rule.Parts...)
			}
		}
		for _, object := range listed.Objects {
			if object.Map == nil {
				continue
			}
			for _, element := range object.Map.Pairs {
				pair, is := element.([]any)
				if !is || len(pair) != 2 {
					return nil, fmt.Errorf(
						"nft: not a pair in map %s: %v",
						object.Map.Name,
						element,
					)
				}
				switch object.Map.Name {
				case "no-endpoint-services":
					read.add(nftAddresses(pair[0])[0])
				case "service-ips":
					read.add(nftAddresses(pair[0])[0], nftEndpoints(chains, pair[1])...)
				}
			}
		}
	}
	return read, nil
}

// nftEndpoints are the targets of the DNAT statements below a part of a rule and in the chains that
// it goes to.
func nftEndpoints(chains map[string][]any, part any) (endpoints []string) {
	switch part := part.(type) {
	case []any:
		for _, each := range part {
			endpoints = append(endpoints, nftEndpoints(chains, each)...)
		}
	case map[string]any:
		for name, each := range part {
			switch name {
			case "goto":
				chain := each.(map[string]any)["target"].(string)
				endpoints = append(endpoints, nftEndpoints(chains, chains[chain])...)
			case "dnat":
				endpoints = append(endpoints, nftAddresses(each)...)
			default:
				endpoints = append(endpoints, nftEndpoints(chains, each)...)
			}
		}
	}
	return endpoints
}

// nftAddresses are the addresses with ports below a part: `{"addr": ADDRESS, "port": PORT}`, or a
// concatenation of both, which may have the protocol in between.
func nftAddresses(part any) (addresses []string) {
	switch part := part.(type) {
	case []any:
		for _, each := range part {
			addresses = append(addresses, nftAddresses(each)...)
		}
	case map[string]any:
		if address, is := part["addr"].(string); is {
			return []string{net.JoinHostPort(address, fmt.Sprint(part["port"]))}
		}
		for name, each := range part {
			values, is := each.([]any)
			if name != "concat" || !is {
				addresses = append(addresses, nftAddresses(each)...)
				continue
			}
			address := fmt.Sprint(values[0])
			addresses = append(
				addresses, net.JoinHostPort(address, fmt.Sprint(values[len(values)-1])))
		}
	}
	return addresses
}

var (
	jump        = regexp.MustCompile(` -j (\S+)`)
	destination = regexp.MustCompile(` -d (\S+)/\d+ .*--dport (\d+)`)
	target      = regexp.MustCompile(` --to-destination (\S+)`)
)

// iptablesTable reads the rules of kube-proxy's mode iptables.
func iptablesTable(n namespace) (table, error) {
	read := table{}
	for _, family := range families {
		out, err := n.command(family.save).Output()
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", family.save, n, err)
		}
		chains := map[string][]string{}
		for line := range strings.Lines(string(out)) {
			if rule, is := strings.CutPrefix(strings.TrimSpace(line), "-A "); is {
				chain, _, _ := strings.Cut(rule, " ")
				chains[chain] = append(chains[chain], rule)
			}
		}
		for _, rule := range chains["KUBE-SERVICES"] {
			to := destination.FindStringSubmatch(rule)
			if to == nil {
				continue
			}
			frontend := net.JoinHostPort(to[1], to[2])
			switch chain := jump.FindStringSubmatch(rule)[1]; {
			case chain == "REJECT":
				read.add(frontend)
			case strings.HasPrefix(chain, "KUBE-SVC-"):
				read.add(frontend, iptablesEndpoints(chains, chain)...)
			}
		}
	}
	return read, nil
}

// iptablesEndpoints are the targets of a Service's chain and of the endpoints' chains it jumps to.
func iptablesEndpoints(chains map[string][]string, chain string) (endpoints []string) {
	for _, rule := range chains[chain] {
		if to := target.FindStringSubmatch(rule); to != nil {
			endpoints = append(endpoints, to[1])
		}
		next := jump.FindStringSubmatch(rule)
		if next != nil && strings.HasPrefix(next[1], "KUBE-SEP-") {
			endpoints = append(endpoints, iptablesEndpoints(chains, next[1])...)
		}
	}
	return endpoints
}
