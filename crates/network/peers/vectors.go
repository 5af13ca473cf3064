package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

var checks, failed int

func check(ok bool, format string, args ...any) {
	checks++
	if !ok {
		failed++
		fmt.Fprintf(os.Stderr, "failed: "+format+"\n", args...)
	}
}

func read(folder, name string, into any) {
	text := must(os.ReadFile(filepath.Join(folder, name)))
	if err := json.Unmarshal(text, into); err != nil {
		must(0, err)
	}
}

func unhex(text string) []byte { return must(hex.DecodeString(text)) }

// A connection whose other side was written beforehand.
type script struct {
	io.Reader
	written bytes.Buffer
}

func (s *script) Write(data []byte) (int, error) { return s.written.Write(data) }

func checkVectors(folder string) {
	var handshakes struct {
		Parties map[string]struct {
			Key string `json:"private_key"`
			ID  string `json:"peer_id"`
		}
		Good []struct {
			Nonce1 string `json:"nonce1_wire"`
			Nonce2 string `json:"nonce2_wire"`
			Act1   struct{ Frame string }
			Act2   struct{ Frame string }
			Act3   struct{ Frame string }
		}
		Cases []struct {
			Name, Act1_frame, Act2_frame, Act3_frame string
			Nonce1                                   string `json:"nonce1_wire"`
			Nonce2                                   string `json:"nonce2_wire"`
			Role                                     string `json:"role_under_test"`
			Accepted                                 bool
			FailsAt                                  string `json:"fails_at"`
		} `json:"negative_and_control"`
	}
	read(folder, "handshake.json", &handshakes)
	a, b := privateKey(handshakes.Parties["A"].Key), privateKey(handshakes.Parties["B"].Key)
	idB := must(peer.IDFromPrivateKey(b))
	for name, party := range handshakes.Parties {
		check(must(peer.IDFromPrivateKey(privateKey(party.Key))).String() == party.ID, "peer id of %s", name)
	}
	for _, good := range handshakes.Good {
		conn := &script{Reader: bytes.NewReader(unhex(good.Act2.Frame))}
		err := initiate(conn, a, idB, unhex(good.Nonce1))
		check(err == nil, "initiator: %v", err)
		check(hex.EncodeToString(conn.written.Bytes()) == good.Act1.Frame+good.Act3.Frame, "initiator's bytes")
		conn = &script{Reader: bytes.NewReader(unhex(good.Act1.Frame + good.Act3.Frame))}
		_, err = respond(conn, b, unhex(good.Nonce2), func(int) {})
		check(err == nil, "responder: %v", err)
		check(hex.EncodeToString(conn.written.Bytes()) == good.Act2.Frame, "responder's bytes")
	}
	for _, c := range handshakes.Cases {
		if c.FailsAt == "after act3" || c.FailsAt == "after act3 (key type)" {
			// Refused by what comes after the acts, which isn't here.
			continue
		}
		var err error
		if c.Act2_frame != "" {
			conn := &script{Reader: bytes.NewReader(unhex(c.Act2_frame))}
			err = initiate(conn, a, idB, unhex(c.Nonce1))
		} else {
			conn := &script{Reader: bytes.NewReader(unhex(c.Act1_frame + c.Act3_frame))}
			_, err = respond(conn, b, unhex(c.Nonce2), func(int) {})
		}
		check((err == nil) == c.Accepted, "%s: %v", c.Name, err)
	}

	var identities struct {
		Good []struct {
			Key    string `json:"private_key"`
			Public string `json:"libp2p_public_key"`
			ID     string `json:"peer_id_bytes"`
			IDText string `json:"peer_id_base58"`
		}
	}
	read(folder, "identity.json", &identities)
	for _, good := range identities.Good {
		key := privateKey(good.Key)
		public := must(crypto.MarshalPublicKey(key.GetPublic()))
		id := must(peer.IDFromPrivateKey(key))
		check(hex.EncodeToString(public) == good.Public, "public key of %s", good.IDText)
		check(hex.EncodeToString([]byte(id)) == good.ID && id.String() == good.IDText, "peer id %s", good.IDText)
	}

	var frames struct {
		Author string `json:"author_private_key"`
		Topic  string
		First  string `json:"first_frame"`
		Again  string `json:"first_retransmission_frame"`
		Hello  string `json:"hello_frame_from_go"`
	}
	read(folder, "pubsub.json", &frames)
	author := privateKey(frames.Author)
	for _, frame := range []string{frames.First, frames.Again} {
		message := rpc(frame).Publish[0]
		check(message.GetTopic() == frames.Topic, "topic")
		signature := message.Signature
		message.Signature = nil
		signed := append([]byte("libp2p-pubsub:"), must(message.Marshal())...)
		check(must(author.GetPublic().Verify(signed, signature)), "signature")
		check(bytes.Equal(must(author.Sign(signed)), signature), "deterministic signature")
	}
	subscription := rpc(frames.Hello).Subscriptions[0]
	check(subscription.GetSubscribe() && subscription.GetTopicid() == frames.Topic, "hello")

	say(event{Event: "checked", Count: checks})
	if failed > 0 {
		os.Exit(1)
	}
}

func rpc(frame string) *pb.RPC {
	reader := bufio.NewReader(bytes.NewReader(unhex(frame)))
	var length uint64
	for shift := 0; ; shift += 7 {
		b := must(reader.ReadByte())
		length |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	body := make([]byte, length)
	must(io.ReadFull(reader, body))
	message := new(pb.RPC)
	must(0, message.Unmarshal(body))
	return message
}
