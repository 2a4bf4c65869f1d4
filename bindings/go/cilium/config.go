package poolscopecilium

import "github.com/spf13/pflag"

// Config has poolscope's settings from the agent's flags, its ConfigMap and its environment.
type Config struct {
	// PoolscopeEnable switches poolscope on. If false, the agent is unchanged.
	PoolscopeEnable bool `mapstructure:"poolscope-enable"`
	// PoolscopeConfig is the JSON document of docs/config.md; empty: OpenYurt's annotations with
	// NodePools.
	PoolscopeConfig string `mapstructure:"poolscope-config"`
}

// DefaultConfig is on, with OpenYurt's annotations and NodePools.
var DefaultConfig = Config{PoolscopeEnable: true}

// Flags registers the flags, with the values of the Config as defaults.
func (c Config) Flags(flags *pflag.FlagSet) {
	flags.Bool(
		"poolscope-enable",
		c.PoolscopeEnable,
		"Show the load balancer only the endpoints that this node may use by Services' "+
			"topology annotations",
	)
	flags.String(
		"poolscope-config",
		c.PoolscopeConfig,
		"How topology annotations and node pools are read: poolscope's JSON document; "+
			"empty means OpenYurt's annotations with NodePools",
	)
}
