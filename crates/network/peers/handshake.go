// The security protocol: go-libp2p's TLS, then three acts, as the deployed client plays them.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	security = "/keep/handshake/1.0.0"
	maxAct   = 1024
	keep     = "keep"
)

// One field of bytes after another; unknown ones are ignored.
func fields(message []byte, numbers ...protowire.Number) ([][]byte, error) {
	found := make([][]byte, len(numbers))
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		n = protowire.ConsumeFieldValue(number, kind, message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		for i, wanted := range numbers {
			if number == wanted && kind == protowire.BytesType {
				found[i], _ = protowire.ConsumeBytes(message)
			}
		}
		message = message[n:]
	}
	return found, nil
}

func put(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

// A signed act, behind its length.
func seal(key crypto.PrivKey, message []byte) ([]byte, error) {
	signature, err := key.Sign(message)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	envelope := put(put(put(nil, 1, message), 2, signature), 3, []byte(id))
	return append(binary.AppendUvarint(nil, uint64(len(envelope))), envelope...), nil
}

// Reads an act: who signed it, and what it says.
func unseal(reader *bufio.Reader) (peer.ID, []byte, error) {
	length, err := binary.ReadUvarint(reader)
	if err != nil {
		return "", nil, err
	}
	if length > maxAct {
		return "", nil, fmt.Errorf("an act of %d bytes", length)
	}
	envelope := make([]byte, length)
	if _, err := io.ReadFull(reader, envelope); err != nil {
		return "", nil, err
	}
	parts, err := fields(envelope, 1, 2, 3)
	if err != nil {
		return "", nil, err
	}
	id, err := peer.IDFromBytes(parts[2])
	if err != nil {
		return "", nil, err
	}
	key, err := id.ExtractPublicKey()
	if err != nil {
		return "", nil, err
	}
	if ok, err := key.Verify(parts[0], parts[1]); err != nil || !ok {
		return "", nil, errors.New("the act's signature doesn't hold")
	}
	return id, parts[0], nil
}

func challengeOf(nonce1, nonce2 []byte) []byte {
	sum := sha256.Sum256(bytes.Join([][]byte{nonce1, nonce2, make([]byte, 16)}, nil))
	return sum[:]
}

// Plays the acts as the side that dialled `expected`.
func initiate(conn io.ReadWriter, key crypto.PrivKey, expected peer.ID, nonce1 []byte) error {
	act1, err := seal(key, put(put(nil, 1, nonce1), 2, []byte(keep)))
	if err != nil {
		return err
	}
	if _, err := conn.Write(act1); err != nil {
		return err
	}
	id, message, err := unseal(bufio.NewReaderSize(oneByte{conn}, 16))
	if err != nil {
		return err
	}
	if id != expected {
		return fmt.Errorf("act 2 is by %s", id)
	}
	parts, err := fields(message, 1, 2, 3)
	if err != nil {
		return err
	}
	if len(parts[0]) != 8 || string(parts[2]) != keep {
		return errors.New("act 2: nonce or protocol")
	}
	challenge := challengeOf(nonce1, parts[0])
	if !bytes.Equal(parts[1], challenge) {
		return errors.New("act 2: challenge")
	}
	act3, err := seal(key, put(nil, 1, challenge))
	if err != nil {
		return err
	}
	// One write: one TLS record.
	_, err = conn.Write(act3)
	return err
}

// Plays the acts as the side that was dialled; `thrownAway` is told of bytes that came in one record with act 3.
func respond(conn io.ReadWriter, key crypto.PrivKey, nonce2 []byte, thrownAway func(int)) (peer.ID, error) {
	reader := bufio.NewReader(conn)
	id, message, err := unseal(reader)
	if err != nil {
		return "", fmt.Errorf("act1: %w", err)
	}
	parts, err := fields(message, 1, 2)
	if err != nil {
		return "", fmt.Errorf("act1: %w", err)
	}
	if len(parts[0]) != 8 || string(parts[1]) != keep {
		return "", errors.New("act1: nonce or protocol")
	}
	challenge := challengeOf(parts[0], nonce2)
	act2, err := seal(key, put(put(put(nil, 1, nonce2), 2, challenge), 3, []byte(keep)))
	if err != nil {
		return "", err
	}
	if _, err := conn.Write(act2); err != nil {
		return "", err
	}
	again, message, err := unseal(reader)
	if err != nil {
		return "", fmt.Errorf("act3: %w", err)
	}
	parts, err = fields(message, 1)
	if err != nil {
		return "", fmt.Errorf("act3: %w", err)
	}
	if again != id || !bytes.Equal(parts[0], challenge) {
		return "", errors.New("act3: peer or challenge")
	}
	// As the deployed client does: what was read beyond act 3 is lost.
	if lost := reader.Buffered(); lost > 0 {
		thrownAway(lost)
	}
	return id, nil
}

// Reads one byte at a time, so that nothing is read that belongs to the muxer.
type oneByte struct{ io.Reader }

func (r oneByte) Read(buffer []byte) (int, error) { return r.Reader.Read(buffer[:1]) }

// TLS with the acts in it.
type handshake struct {
	tls *libp2ptls.Transport
	key crypto.PrivKey
}

func newHandshake(id protocol.ID, key crypto.PrivKey, muxers []tptu.StreamMuxer) (*handshake, error) {
	tls, err := libp2ptls.New(id, key, muxers)
	return &handshake{tls, key}, err
}

func nonce() []byte {
	nonce := make([]byte, 8)
	rand.Read(nonce)
	return nonce
}

// Embeds TLS's connection, so that its state (which says whether the muxer is agreed on already) is handed on.
type secured struct{ sec.SecureConn }

func (h *handshake) SecureInbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	conn, err := h.tls.SecureInbound(ctx, insecure, p)
	if err != nil {
		return nil, err
	}
	id, err := respond(conn, h.key, nonce(), func(lost int) { say(event{Event: "thrown-away", Count: lost}) })
	if err != nil || id != conn.RemotePeer() {
		conn.Close()
		return nil, fmt.Errorf("handshake: %w", errors.Join(err, errors.New("or another's certificate")))
	}
	return secured{conn}, nil
}

func (h *handshake) SecureOutbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	conn, err := h.tls.SecureOutbound(ctx, insecure, p)
	if err != nil {
		return nil, err
	}
	if err := initiate(conn, h.key, p, nonce()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return secured{conn}, nil
}

func (h *handshake) ID() protocol.ID { return security }
