// A Go peer of the operators' network, made from its description alone, of the libraries that the deployed client pins.
// Commands come in as JSON, one a line; what happens goes out the same way.
//
//	go run . -key HEX [-listen MULTIADDR]     a peer
//	go run . -vectors FOLDER                  checks itself against what was recorded from the deployed client
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

type command struct {
	Do      string `json:"do"`
	Topic   string `json:"topic"`
	Data    string `json:"data"`
	Address string `json:"address"`
	Count   int    `json:"count"`
	Sweep   sweep  `json:"sweep"`
}

type event struct {
	Event     string   `json:"event"`
	Peer      string   `json:"peer,omitempty"`
	Topic     string   `json:"topic,omitempty"`
	Data      string   `json:"data,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Count     int      `json:"count,omitempty"`
	Said      *said    `json:"said,omitempty"`
}

var (
	out    = json.NewEncoder(os.Stdout)
	outs   sync.Mutex
	topics = map[string]*pubsub.Topic{}
)

func say(e event) {
	outs.Lock()
	defer outs.Unlock()
	out.Encode(e)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	return value
}

func privateKey(text string) crypto.PrivKey {
	return must(crypto.UnmarshalSecp256k1PrivateKey(must(hex.DecodeString(text))))
}

func main() {
	key := flag.String("key", "", "the operator's private key, in hex")
	listen := flag.String("listen", "/ip4/127.0.0.1/tcp/0", "where to listen")
	vectors := flag.String("vectors", "", "a folder of vectors to check, instead of being a peer")
	flag.Parse()
	if *vectors != "" {
		checkVectors(*vectors)
		return
	}
	ctx := context.Background()
	// TCP is named, as the QUIC in this version panics under newer Go.
	node := must(libp2p.New(
		libp2p.Identity(privateKey(*key)),
		libp2p.ListenAddrStrings(*listen),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(security, newHandshake),
		libp2p.Muxer("/yamux/1.0.0", yamux.DefaultTransport),
		libp2p.DisableRelay(),
	))
	sub := must(pubsub.NewFloodSub(ctx, node,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithSeenMessagesTTL(5*time.Minute),
	))
	node.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, conn network.Conn) {
			say(event{Event: "connected", Peer: conn.RemotePeer().String()})
			go pingEvery(ctx, node, conn)
		},
		DisconnectedF: func(_ network.Network, conn network.Conn) {
			say(event{Event: "disconnected", Peer: conn.RemotePeer().String()})
		},
	})
	addresses := []string{}
	for _, address := range node.Addrs() {
		addresses = append(addresses, fmt.Sprintf("%s/ipfs/%s", address, node.ID()))
	}
	say(event{Event: "ready", Peer: node.ID().String(), Addresses: addresses})

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(2)
		}
		obey(ctx, node, sub, privateKey(*key), c)
	}
}

func obey(ctx context.Context, node host.Host, sub *pubsub.PubSub, key crypto.PrivKey, c command) {
	switch c.Do {
	case "join":
		join(ctx, sub, c.Topic)
	case "connect":
		go keepConnected(ctx, node, *must(peer.AddrInfoFromString(c.Address)))
	case "publish":
		data := must(hex.DecodeString(c.Data))
		if err := topics[c.Topic].Publish(ctx, data); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
	case "propose":
		if err := topics[c.Topic].Publish(ctx, propose(key, c.Sweep)); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
	case "flood":
		// As fast as the library goes, for so many seconds.
		data := must(hex.DecodeString(c.Data))
		go func() {
			sent := 0
			for end := time.Now().Add(time.Duration(c.Count) * time.Second); time.Now().Before(end); sent++ {
				topics[c.Topic].Publish(ctx, data)
			}
			say(event{Event: "flooded", Count: sent})
		}()
	case "close-first":
		// The oldest of several connections to a peer: pubsub's stream is on it.
		for _, id := range node.Network().Peers() {
			conns := node.Network().ConnsToPeer(id)
			if len(conns) < 2 {
				continue
			}
			first := conns[0]
			for _, conn := range conns {
				if conn.Stat().Opened.Before(first.Stat().Opened) {
					first = conn
				}
			}
			say(event{Event: "closing", Peer: id.String(), Count: len(conns)})
			first.Close()
		}
	case "connections":
		count := 0
		for _, id := range node.Network().Peers() {
			count += len(node.Network().ConnsToPeer(id))
		}
		say(event{Event: "connections", Count: count})
	default:
		fmt.Fprintln(os.Stderr, "error: no such command:", c.Do)
		os.Exit(2)
	}
}

func join(ctx context.Context, sub *pubsub.PubSub, name string) {
	topic := must(sub.Join(name))
	topics[name] = topic
	subscription := must(topic.Subscribe(pubsub.WithBufferSize(4096)))
	events := must(topic.EventHandler())
	go func() {
		for {
			change, err := events.NextPeerEvent(ctx)
			if err != nil {
				return
			}
			what := "subscribed"
			if change.Type == pubsub.PeerLeave {
				what = "unsubscribed"
			}
			say(event{Event: what, Peer: change.Peer.String(), Topic: name})
		}
	}()
	go func() {
		for {
			message, err := subscription.Next(ctx)
			if err != nil {
				return
			}
			// What isn't of coordination is heard all the same.
			said, _ := understand(message.Data)
			data := hex.EncodeToString(message.Data)
			say(event{Event: "heard", Peer: message.GetFrom().String(), Topic: name, Data: data, Said: said})
		}
	}()
	say(event{Event: "joined", Topic: name})
}

// Connects, and again whenever that is lost: the library tries once.
func keepConnected(ctx context.Context, node host.Host, info peer.AddrInfo) {
	for {
		if node.Network().Connectedness(info.ID) != network.Connected {
			attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
			if err := node.Connect(attempt, info); err != nil {
				say(event{Event: "failed", Peer: info.ID.String(), Data: err.Error()})
			}
			cancel()
		}
		time.Sleep(2 * time.Second)
	}
}

// Drops a connection that doesn't answer, as the deployed client does.
func pingEvery(ctx context.Context, node host.Host, conn network.Conn) {
	for range time.Tick(30 * time.Second) {
		if conn.IsClosed() {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		result := <-ping.Ping(attempt, node, conn.RemotePeer())
		cancel()
		if result.Error != nil {
			conn.Close()
			return
		}
	}
}
