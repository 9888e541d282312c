package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	manageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
)

// The upstream cobra commands install signal handlers of their own, and a process can have only
// one set of them; so options are parsed and completed here and only the Run functions are used.

func parse(name string, sets cliflag.NamedFlagSets, arguments []string) error {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		flags.AddFlagSet(set)
	}
	return flags.Parse(arguments)
}

func runAPIServer(ctx context.Context, arguments []string) error {
	options := apiserveroptions.NewServerRunOptions()
	if err := parse("kube-apiserver", options.Flags(), arguments); err != nil {
		return err
	}
	if err := options.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	completed, err := options.Complete(ctx)
	if err != nil {
		return err
	}
	if problems := completed.Validate(); len(problems) > 0 {
		return fmt.Errorf("options: %v", problems)
	}
	return apiserver.Run(ctx, completed)
}

func runControllerManager(ctx context.Context, arguments []string) error {
	options, err := manageroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	known, disabled := manager.KnownControllers(), manager.ControllersDisabledByDefault()
	aliases := manager.ControllerAliases()
	if err := parse("kube-controller-manager", options.Flags(known, disabled, aliases), arguments); err != nil {
		return err
	}
	config, err := options.Config(ctx, known, disabled, aliases)
	if err != nil {
		return err
	}
	return manager.Run(ctx, config.Complete())
}

// waitForListener returns when something accepts connections at the address.
func waitForListener(ctx context.Context, address string) error {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("kube-apiserver does not listen on %s", address)
}
