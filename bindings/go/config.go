package poolscope

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Config is the configuration of a [Cluster]. The zero value selects OpenYurt's annotations with
// NodePools. docs/config.md describes each setting under its JSON name; settings that are nil or
// empty have the default that it gives.
type Config struct {
	Dialect    Dialect     `json:"dialect,omitempty"`
	Membership *Membership `json:"membership,omitempty"`
	// Pool is the pool of every node. It wins over the label of the Node.
	Pool    string  `json:"pool,omitempty"`
	Clients Clients `json:"clients,omitempty"`
	// Rewrites selects the changes to responses.
	Rewrites          *Rewrites      `json:"rewrites,omitempty"`
	TopologyFallback  *bool          `json:"topologyFallback,omitempty"`
	OnMissingFact     *OnMissingFact `json:"onMissingFact,omitempty"`
	Retention         Retention      `json:"retention,omitempty"`
	SuppressUnchanged *bool          `json:"suppressUnchanged,omitempty"`
	ProtobufLists     ProtobufLists  `json:"protobufLists,omitempty"`
	Limits            *Limits        `json:"limits,omitempty"`
}

// Dialect selects whose annotations are read.
type Dialect string

// The dialects.
const (
	DialectOpenYurt  Dialect = "openyurt"
	DialectKubeEdge  Dialect = "kubeedge"
	DialectSuperEdge Dialect = "superedge"
	DialectPoolscope Dialect = "poolscope"
)

// Clients selects which clients get the rewrites.
type Clients string

// All clients, or those that OpenYurt's yurthub would select by User-Agent.
const (
	ClientsAll     Clients = "all"
	ClientsYurtHub Clients = "yurtHub"
)

// Retention selects which originals are kept for each client stream.
type Retention string

// All originals, those of Services with topology keys, or none.
const (
	RetentionFull     Retention = "full"
	RetentionTopology Retention = "topology"
	RetentionNone     Retention = "none"
)

// ProtobufLists selects how protobuf lists are cut.
type ProtobufLists string

// Padded lists keep their size and stream; compact lists are held back and become shorter.
const (
	ProtobufListsPadded  ProtobufLists = "padded"
	ProtobufListsCompact ProtobufLists = "compact"
)

// MissingFactPolicy selects what happens to objects while a fact is missing.
type MissingFactPolicy string

// Forward objects unchanged and count them, or forward them without endpoints.
const (
	MissingFactPass  MissingFactPolicy = "pass"
	MissingFactEmpty MissingFactPolicy = "empty"
)

// OnMissingFact selects how objects are treated while a fact is missing.
type OnMissingFact struct {
	UnknownService MissingFactPolicy `json:"unknownService,omitempty"`
	NoService      MissingFactPolicy `json:"noService,omitempty"`
	UnknownPool    MissingFactPolicy `json:"unknownPool,omitempty"`
}

// Rewrites selects the changes to responses.
type Rewrites struct {
	ServiceTopology          *bool    `json:"serviceTopology,omitempty"`
	NodePortIsolation        *bool    `json:"nodePortIsolation,omitempty"`
	DiscardCloudService      *bool    `json:"discardCloudService,omitempty"`
	MasterService            *Address `json:"masterService,omitempty"`
	ForwardKubernetesService *Address `json:"forwardKubernetesService,omitempty"`
}

// Address is an address on the node that stands for the API server.
type Address struct {
	// Host is an IP address.
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// Limits are bounds on memory; 0 selects the default.
type Limits struct {
	FrameBytes       uint64 `json:"frameBytes,omitempty"`
	ItemBytes        uint64 `json:"itemBytes,omitempty"`
	ListBytes        uint64 `json:"listBytes,omitempty"`
	Endpoints        uint64 `json:"endpoints,omitempty"`
	Depth            uint64 `json:"depth,omitempty"`
	ClientStateBytes uint64 `json:"clientStateBytes,omitempty"`
	DeletedServices  uint64 `json:"deletedServices,omitempty"`
}

// Membership selects the kind of object that puts nodes into pools. Exactly one field is set.
type Membership struct {
	// Kind is nodePool, nodeBucket, nodeLabels or off.
	Kind string
	// NodeLabel is the label of Nodes whose value is the pool.
	NodeLabel string
	// CiliumNodeLabel is the label of CiliumNodes whose value is the pool.
	CiliumNodeLabel string
}

type labelMembership struct {
	NodeLabel       string `json:"nodeLabel,omitempty"`
	CiliumNodeLabel string `json:"ciliumNodeLabel,omitempty"`
}

// MarshalJSON writes the value as docs/config.md describes it.
func (m Membership) MarshalJSON() ([]byte, error) {
	if m.Kind != "" {
		return json.Marshal(m.Kind)
	}
	return json.Marshal(labelMembership{m.NodeLabel, m.CiliumNodeLabel})
}

// UnmarshalJSON reads the value as docs/config.md describes it.
func (m *Membership) UnmarshalJSON(text []byte) error {
	*m = Membership{}
	if json.Unmarshal(text, &m.Kind) == nil {
		return nil
	}
	var label labelMembership
	if err := strictly(text, &label); err != nil {
		return err
	}
	m.NodeLabel, m.CiliumNodeLabel = label.NodeLabel, label.CiliumNodeLabel
	return nil
}

// ParseConfig reads the JSON document of docs/config.md. An empty text is the zero [Config]. It
// fails with [ErrConfig] for a key or value that the library cannot use.
func ParseConfig(text string) (Config, error) {
	var config Config
	if text == "" {
		return config, nil
	}
	if err := strictly([]byte(text), &config); err != nil {
		return Config{}, &Error{
			Kind:    ErrConfig,
			Message: fmt.Sprintf("configuration: %v", err),
			Offset:  NoOffset,
		}
	}
	// The library checks the values.
	if err := checkConfig(text); err != nil {
		return Config{}, err
	}
	return config, nil
}

func strictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
