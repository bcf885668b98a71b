// Command bao is an OpenBao server for tests. It is OpenBao's own core, HTTP
// layer, storage and engines, with a start of its own that knows only the
// engines in engines.go, and takes the part of the command line of the real
// server that tests use:
//
//	bao server -config x.hcl [-config y.hcl]
//	bao server -dev [-dev-root-token-id=T] [-dev-listen-address=A] [-dev-approle]
//	           [-config x.hcl]
//
// Two things are its own. An address may have port 0: the line "listening on
// ADDRESS" on stdout tells the port. And a cluster port is taken only where
// cluster_addr is configured, so never in dev mode.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/cli"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-secure-stdlib/reloadutil"
	aead "github.com/openbao/go-kms-wrapping/wrappers/aead/v2"
	"github.com/openbao/openbao/builtin/logical/kv"
	"github.com/openbao/openbao/builtin/plugin"
	"github.com/openbao/openbao/command/server"
	"github.com/openbao/openbao/helper/logging"
	"github.com/openbao/openbao/helper/metricsutil"
	vaulthttp "github.com/openbao/openbao/http"
	"github.com/openbao/openbao/internalshared/configutil"
	"github.com/openbao/openbao/internalshared/listenerutil"
	"github.com/openbao/openbao/sdk/v2/logical"
	"github.com/openbao/openbao/sdk/v2/physical"
	"github.com/openbao/openbao/vault"
	"github.com/openbao/openbao/vault/seal"
	"github.com/openbao/openbao/version"
)

type options struct {
	configs                        []string
	dev, devAppRole                bool
	devToken, devAddress, logLevel string
}

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "version" || os.Args[1] == "-version") {
		fmt.Println(version.GetVersion().FullVersionNumber(true))
		return
	}
	if len(os.Args) < 2 || os.Args[1] != "server" {
		fmt.Fprintln(os.Stderr, "usage: bao server -config FILE | bao server -dev; bao version")
		os.Exit(2)
	}
	var o options
	f := flag.NewFlagSet("bao server", flag.ExitOnError)
	f.Func("config", "configuration `file`; may be repeated", func(s string) error {
		o.configs = append(o.configs, s)
		return nil
	})
	f.BoolVar(&o.dev, "dev", false, "development mode")
	f.StringVar(&o.devToken, "dev-root-token-id", os.Getenv("BAO_DEV_ROOT_TOKEN_ID"), "root token in development mode")
	f.StringVar(&o.devAddress, "dev-listen-address", "127.0.0.1:8200", "address in development mode")
	f.BoolVar(&o.devAppRole, "dev-approle", false, "enable AppRole sign-in in development mode")
	f.Bool("dev-no-store-token", true, "accepted; the token is never stored")
	f.StringVar(&o.logLevel, "log-level", "", "log level")
	if err := f.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bao:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	config, err := load(o)
	if err != nil {
		return err
	}
	level, err := logging.ParseLogLevel(config.LogLevel)
	if err != nil {
		return err
	}
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: level, IndependentLevels: true})
	ui := &cli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}

	lns, reloads, clusterAddrs, err := listen(config, logger, ui)
	if err != nil {
		return err
	}
	cc, err := coreConfig(o, config, logger, ui, lns)
	if err != nil {
		return err
	}
	core, err := vault.NewCore(cc)
	if err != nil {
		return fmt.Errorf("core: %w", err)
	}
	cc.ReloadFuncsLock.Lock()
	(*cc.ReloadFuncs)["listener|tcp"] = reloads
	cc.ReloadFuncsLock.Unlock()

	if cc.ClusterAddr != "" {
		core.SetClusterListenerAddrs(clusterAddrs)
	}
	core.SetClusterHandler(vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core}))
	if config.Storage.Type == "raft" {
		if err := core.InitiateRetryJoin(context.Background()); err != nil {
			return err
		}
	}
	if o.dev {
		if err := initDev(core, cc.DevToken, o.devAppRole); err != nil {
			return fmt.Errorf("dev mode: %w", err)
		}
	}
	for _, ln := range lns {
		go serve(core, config, ln, lns, logger)
		fmt.Println("listening on", ln.Addr())
	}
	fmt.Println("==> OpenBao server started!")

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	for s := range signals {
		if s != syscall.SIGHUP {
			break
		}
		if err := reload(o, core, cc); err != nil {
			logger.Error("reload", "error", err)
		}
	}
	for _, ln := range lns {
		ln.Close()
	}
	return core.Shutdown()
}

// load reads the configuration as the real server does.
func load(o options) (*server.Config, error) {
	var config *server.Config
	if o.dev {
		c, err := server.DevConfig("inmem")
		if err != nil {
			return nil, err
		}
		c.Listeners[0].Address = o.devAddress
		c.Listeners[0].Telemetry.UnauthenticatedMetricsAccess = true
		config = c
	}
	for _, path := range o.configs {
		c, err := server.LoadConfig(path, o.configs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, e := range c.Validate(path) {
			fmt.Fprintln(os.Stderr, "bao: warning:", e.String())
		}
		if config == nil {
			config = c
		} else {
			config = config.Merge(c)
		}
	}
	switch {
	case config == nil:
		return nil, errors.New("-config or -dev is missing")
	case config.Storage == nil:
		return nil, errors.New("the configuration has no storage")
	case config.HAStorage != nil || config.ServiceRegistration != nil || len(config.Seals) > 0 || len(config.Initialization) > 0:
		return nil, errors.New("ha_storage, service_registration, seal and initialize are not part of this test server")
	}
	config.LogLevel = cmp.Or(o.logLevel, config.LogLevel)
	return config, nil
}

func listen(config *server.Config, logger hclog.Logger, ui cli.Ui) (lns []listenerutil.Listener, reloads []reloadutil.ReloadFunc, cluster []*net.TCPAddr, err error) {
	for _, lc := range config.Listeners {
		ln, _, cg, err := server.NewListener(lc, logger, nil, ui)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("listener: %w", err)
		}
		if cg != nil {
			reloads = append(reloads, cg.Reload)
		}
		if addr, ok := ln.Addr().(*net.TCPAddr); ok {
			next := cmp.Or(lc.ClusterAddress, net.JoinHostPort(addr.IP.String(), strconv.Itoa(addr.Port+1)))
			a, err := net.ResolveTCPAddr("tcp", next)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("cluster_address: %w", err)
			}
			cluster = append(cluster, a)
		}
		lc.MaxRequestSize = cmp.Or(lc.MaxRequestSize, vaulthttp.DefaultMaxRequestSize)
		lc.MaxRequestDuration = cmp.Or(lc.MaxRequestDuration, vault.DefaultMaxRequestDuration)
		lns = append(lns, listenerutil.Listener{Listener: ln, Config: lc})
	}
	return lns, reloads, cluster, nil
}

func coreConfig(o options, config *server.Config, logger hclog.InterceptLogger, ui cli.Ui, lns []listenerutil.Listener) (*vault.CoreConfig, error) {
	newStorage, ok := storages[config.Storage.Type]
	if !ok {
		return nil, fmt.Errorf("storage %q is not part of this test server", config.Storage.Type)
	}
	storage, err := newStorage(config.Storage.Config, logger.Named("storage."+config.Storage.Type))
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	inmem, sink, prometheus, err := configutil.SetupTelemetry(&configutil.SetupTelemetryOpts{
		Config: config.Telemetry, Ui: ui, ServiceName: "vault", DisplayName: "Vault", ClusterName: config.ClusterName,
	})
	if err != nil {
		return nil, err
	}
	cc := &vault.CoreConfig{
		RawConfig:                    config,
		Physical:                     storage,
		StorageType:                  config.Storage.Type,
		Seal:                         vault.NewDefaultSeal(seal.NewAccess(aead.NewShamirWrapper())),
		AuditBackends:                audits,
		CredentialBackends:           map[string]logical.Factory{"plugin": plugin.Factory},
		LogicalBackends:              map[string]logical.Factory{"plugin": plugin.Factory, "kv": kv.Factory},
		BuiltinRegistry:              engines,
		LogLevel:                     config.LogLevel,
		Logger:                       logger,
		AllLoggers:                   []hclog.Logger{logger},
		MaxLeaseTTL:                  config.MaxLeaseTTL,
		DefaultLeaseTTL:              config.DefaultLeaseTTL,
		ClusterName:                  config.ClusterName,
		EnableRaw:                    config.EnableRawEndpoint || o.dev,
		EnableIntrospection:          config.EnableIntrospectionEndpoint || o.dev,
		DisableKeyEncodingChecks:     config.DisablePrintableCheck,
		DisableSSCTokens:             config.DisableSSCTokens == nil || *config.DisableSSCTokens,
		MetricsHelper:                metricsutil.NewMetricsHelper(inmem, prometheus),
		MetricSink:                   sink,
		SecureRandomReader:           rand.Reader,
		UnsafeCrossNamespaceIdentity: config.UnsafeCrossNamespaceIdentity,
	}
	if ha, ok := storage.(physical.HABackend); ok {
		cc.HAPhysical = ha
		cc.RedirectAddr = config.Storage.RedirectAddr
		if cc.ClusterAddr = config.Storage.ClusterAddr; cc.ClusterAddr == "" && config.Storage.Type == "raft" {
			return nil, errors.New("cluster_addr must be set when using raft storage")
		}
	}
	if o.dev {
		cc.DevToken = o.devToken
		cc.RedirectAddr = cmp.Or(cc.RedirectAddr, "http://"+lns[0].Addr().String())
	}
	return cc, nil
}

func serve(core *vault.Core, config *server.Config, ln listenerutil.Listener, all []listenerutil.Listener, logger hclog.Logger) {
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core, ListenerConfig: ln.Config, AllListeners: all, DisablePrintableCheck: config.DisablePrintableCheck,
	})
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 5 * time.Minute, ErrorLog: logger.StandardLogger(nil),
	}
	if err := s.Serve(ln.Listener); err != nil && !errors.Is(err, net.ErrClosed) {
		logger.Error("listener", "error", err)
	}
}

// reload is what SIGHUP does: certificates, audit devices and audit files.
func reload(o options, core *vault.Core, cc *vault.CoreConfig) error {
	config, err := load(o)
	if err != nil {
		return err
	}
	core.SetConfig(config)
	core.ReloadAuditLogs()
	cc.ReloadFuncsLock.RLock()
	defer cc.ReloadFuncsLock.RUnlock()
	var errs []error
	for name, funcs := range *cc.ReloadFuncs {
		for _, f := range funcs {
			if f != nil && (strings.HasPrefix(name, "listener|") || strings.HasPrefix(name, "audit_file|")) {
				errs = append(errs, f())
			}
		}
	}
	return errors.Join(errs...)
}
