package poolscopecilium

import "github.com/spf13/pflag"

// Config is what the agent's flags, its ConfigMap and its environment say of poolscope.
type Config struct {
	// PoolscopeEnable is the off switch: without it the agent is as Cilium made it.
	PoolscopeEnable bool `mapstructure:"poolscope-enable"`
	// PoolscopeConfig is the JSON document of docs/config.md; empty: OpenYurt's annotations with NodePools.
	PoolscopeConfig string `mapstructure:"poolscope-config"`
}

// DefaultConfig is on, with OpenYurt's annotations and NodePools.
var DefaultConfig = Config{PoolscopeEnable: true}

// Flags registers the flags; the defaults are what the Config says.
func (c Config) Flags(flags *pflag.FlagSet) {
	flags.Bool("poolscope-enable", c.PoolscopeEnable, "Show the load balancer only the endpoints that this node may use, as Services' topology annotations say")
	flags.String("poolscope-config", c.PoolscopeConfig, "How topology annotations and node pools are read: poolscope's JSON document; empty means OpenYurt's annotations with NodePools")
}
