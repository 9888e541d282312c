// Command controlplane runs etcd, kube-apiserver and kube-controller-manager in one process.
//
// It reads one JSON document that names the flags of each component. Everything that can be
// decided outside (ports, certificates, directories) is decided by the Python side, so that this
// program stays a thin shell around the upstream components.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	logsapi "k8s.io/component-base/logs/api/v1"
)

// plan is what the caller wants to run.
type plan struct {
	Etcd              etcdPlan `json:"etcd"`
	APIServer         []string `json:"apiServer"`
	APIServerAddress  string   `json:"apiServerAddress"`
	ControllerManager []string `json:"controllerManager"`
}

func readPlan(path string) (plan, error) {
	var p plan
	raw, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("%s is not a control plane plan: %w", path, err)
	}
	return p, nil
}

func run(ctx context.Context, path string) error {
	p, err := readPlan(path)
	if err != nil {
		return err
	}
	// Each component applies its logging options; the second one must not be fatal.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged

	stopEtcd, err := startEtcd(ctx, p.Etcd)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer stopEtcd()

	// The API server stops last: the controller manager runs on a context of its own.
	serverContext, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	server := make(chan error, 1)
	go func() { server <- runAPIServer(serverContext, p.APIServer) }()
	managerContext, stopManager := context.WithCancel(ctx)
	manager := make(chan error, 1)
	go func() {
		err := waitForListener(managerContext, p.APIServerAddress)
		if err == nil {
			err = runControllerManager(managerContext, p.ControllerManager)
		}
		manager <- err
	}()

	select {
	case err = <-server:
		err = fmt.Errorf("kube-apiserver ended: %w", ended(err))
		stopManager()
		stopServer()
		return err
	case err = <-manager:
		if ctx.Err() == nil {
			err = fmt.Errorf("kube-controller-manager ended: %w", ended(err))
		} else {
			err = nil
		}
	case <-ctx.Done():
		stopManager()
	}
	stopManager()
	stopServer()
	<-server
	return err
}

func ended(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: controlplane PLAN.json")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}
