package main

import (
	"context"
	"errors"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

type etcdPlan struct {
	Directory string `json:"directory"`
	ClientURL string `json:"clientURL"`
	PeerURL   string `json:"peerURL"`
	LogFile   string `json:"logFile"`
}

// startEtcd runs a single member and returns when it serves.
//
// Writes are not synced to disk: a development cluster may lose its last moments in a power cut.
func startEtcd(ctx context.Context, p etcdPlan) (func(), error) {
	client, err := url.Parse(p.ClientURL)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(p.PeerURL)
	if err != nil {
		return nil, err
	}
	config := embed.NewConfig()
	config.Name = "devcluster"
	config.Dir = p.Directory
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.LogOutputs = []string{p.LogFile}
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server.Close, nil
	case err := <-server.Err():
		return nil, err
	case <-ctx.Done():
		server.Close()
		return nil, ctx.Err()
	case <-time.After(time.Minute):
		server.Close()
		return nil, errors.New("not ready after one minute")
	}
}
