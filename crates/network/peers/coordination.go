// What operators say to each other about a wallet's next action, written and read by the specification's tables alone.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// A deposit sweep, as a leader proposes it.
type sweep struct {
	Seat     uint64    `json:"seat"`
	Block    uint64    `json:"block"`
	Wallet   string    `json:"wallet"`
	Deposits []deposit `json:"deposits"`
	Fee      uint64    `json:"fee"`
	Sequence uint64    `json:"sequence"`
}

type deposit struct {
	// In internal byte order.
	Hash   string `json:"hash"`
	Index  uint64 `json:"index"`
	Reveal uint64 `json:"reveal"`
}

// What a heard message says.
type said struct {
	Seat   uint64 `json:"seat"`
	Block  uint64 `json:"block"`
	Wallet string `json:"wallet"`
	Action uint64 `json:"action"`
	Sweep  *sweep `json:"sweep,omitempty"`
}

func putNumber(out []byte, field, value uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(out, field<<3), value)
}

func putBytes(out []byte, field uint64, value []byte) []byte {
	out = binary.AppendUvarint(binary.AppendUvarint(out, field<<3|2), uint64(len(value)))
	return append(out, value...)
}

// A number without leading zeros, the highest byte first.
func minimal(value uint64) []byte {
	whole := binary.BigEndian.AppendUint64(nil, value)
	for len(whole) > 0 && whole[0] == 0 {
		whole = whole[1:]
	}
	return whole
}

// The envelope in which the leader with this key proposes the sweep.
func propose(key crypto.PrivKey, s sweep) []byte {
	var payload, reveals []byte
	for _, deposit := range s.Deposits {
		payload = putBytes(payload, 1, putNumber(putBytes(nil, 1, must(hex.DecodeString(deposit.Hash))), 2, deposit.Index))
		reveals = binary.AppendUvarint(reveals, deposit.Reveal)
	}
	payload = putBytes(payload, 2, minimal(s.Fee))
	payload = putBytes(payload, 3, reveals)
	proposal := putBytes(putNumber(nil, 1, 2), 2, payload)
	message := putNumber(putNumber(nil, 1, s.Seat), 2, s.Block)
	message = putBytes(message, 3, must(hex.DecodeString(s.Wallet)))
	message = putBytes(message, 4, proposal)
	identity := putBytes(nil, 1, must(crypto.MarshalPublicKey(key.GetPublic())))
	envelope := putBytes(putBytes(nil, 1, identity), 2, message)
	envelope = putBytes(envelope, 3, []byte("tbtc/coordination_message"))
	return putNumber(envelope, 4, s.Sequence)
}

var errMalformed = errors.New("malformed")

// A field of a message: a number, or bytes.
type part struct {
	number uint64
	value  uint64
	bytes  []byte
}

func readFields(from []byte) (all []part, err error) {
	for len(from) > 0 {
		tag, n := binary.Uvarint(from)
		if n <= 0 {
			return nil, errMalformed
		}
		value, m := binary.Uvarint(from[n:])
		if m <= 0 {
			return nil, errMalformed
		}
		from = from[n+m:]
		f := part{number: tag >> 3, value: value}
		if tag&7 == 2 {
			if value > uint64(len(from)) {
				return nil, errMalformed
			}
			f.bytes, from = from[:value], from[value:]
		} else if tag&7 != 0 {
			return nil, errMalformed
		}
		all = append(all, f)
	}
	return all, nil
}

// What an envelope says, if it is of coordination.
func understand(envelope []byte) (*said, error) {
	outer, err := readFields(envelope)
	if err != nil {
		return nil, err
	}
	var s said
	for _, f := range outer {
		if f.number != 2 {
			continue
		}
		message, err := readFields(f.bytes)
		if err != nil {
			return nil, err
		}
		for _, f := range message {
			switch f.number {
			case 1:
				s.Seat = f.value
			case 2:
				s.Block = f.value
			case 3:
				s.Wallet = hex.EncodeToString(f.bytes)
			case 4:
				if err := s.proposal(f.bytes); err != nil {
					return nil, err
				}
			}
		}
	}
	return &s, nil
}

func (s *said) proposal(from []byte) error {
	all, err := readFields(from)
	if err != nil {
		return err
	}
	var payload []byte
	for _, f := range all {
		switch f.number {
		case 1:
			s.Action = f.value
		case 2:
			payload = f.bytes
		}
	}
	if s.Action != 2 {
		return nil
	}
	s.Sweep = &sweep{}
	parts, err := readFields(payload)
	if err != nil {
		return err
	}
	var reveals []byte
	for _, f := range parts {
		switch f.number {
		case 1:
			outpoint, err := readFields(f.bytes)
			if err != nil {
				return err
			}
			var d deposit
			for _, f := range outpoint {
				switch f.number {
				case 1:
					d.Hash = hex.EncodeToString(f.bytes)
				case 2:
					d.Index = f.value
				}
			}
			s.Sweep.Deposits = append(s.Sweep.Deposits, d)
		case 2:
			for _, b := range f.bytes {
				s.Sweep.Fee = s.Sweep.Fee<<8 | uint64(b)
			}
		case 3:
			reveals = append(reveals, f.bytes...)
		}
	}
	for n := range s.Sweep.Deposits {
		block, m := binary.Uvarint(reveals)
		if m <= 0 {
			return errMalformed
		}
		s.Sweep.Deposits[n].Reveal, reveals = block, reveals[m:]
	}
	return nil
}
