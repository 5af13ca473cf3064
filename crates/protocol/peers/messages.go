// Messages of the coordination protocol, encoded by Go's Protocol Buffers from the protocol's field table.
package main

import (
	"math/rand"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type field struct {
	name     string
	number   int32
	kind     descriptorpb.FieldDescriptorProto_Type
	repeated bool
	of       string
}

const (
	u32  = descriptorpb.FieldDescriptorProto_TYPE_UINT32
	u64  = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	blob = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	sub  = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

var table = map[string][]field{
	"CoordinationMessage": {
		{"seat", 1, u32, false, ""}, {"block", 2, u64, false, ""}, {"wallet", 3, blob, false, ""},
		{"proposal", 4, sub, false, "CoordinationProposal"},
	},
	"CoordinationProposal": {{"action", 1, u32, false, ""}, {"payload", 2, blob, false, ""}},
	"HeartbeatProposal":    {{"message", 1, blob, false, ""}},
	"Deposit":              {{"funding_tx_hash", 1, blob, false, ""}, {"output_index", 2, u32, false, ""}},
	"DepositSweepProposal": {
		{"deposits", 1, sub, true, "Deposit"}, {"fee", 2, blob, false, ""}, {"reveal_blocks", 3, u64, true, ""},
	},
	"RedemptionProposal":  {{"scripts", 1, blob, true, ""}, {"fee", 2, blob, false, ""}},
	"MovingFundsProposal": {{"targets", 1, blob, true, ""}, {"fee", 2, blob, false, ""}},
	"MovedFundsSweepProposal": {
		{"moving_funds_tx_hash", 1, blob, false, ""}, {"output_index", 2, u32, false, ""}, {"fee", 3, blob, false, ""},
	},
	"Envelope": {
		{"identity", 1, blob, false, ""}, {"payload", 2, blob, false, ""}, {"type", 3, blob, false, ""},
		{"sequence", 4, u64, false, ""},
	},
	"Identity": {{"key", 1, blob, false, ""}},
}

var actions = []string{
	"", "HeartbeatProposal", "DepositSweepProposal", "RedemptionProposal", "MovingFundsProposal", "MovedFundsSweepProposal",
}

// Compiles the table. Repeated integers are packed, as proto3 does, or not, as a decoder must also read.
func compile(packed bool) protoreflect.MessageDescriptors {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("table.proto"), Syntax: proto.String("proto3")}
	for name, fields := range table {
		message := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for _, f := range fields {
			label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
			if f.repeated {
				label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
			}
			d := &descriptorpb.FieldDescriptorProto{
				Name: proto.String(f.name), Number: proto.Int32(f.number), Type: f.kind.Enum(), Label: label.Enum(),
			}
			if f.kind == sub {
				d.TypeName = proto.String("." + f.of)
			}
			if f.repeated && f.kind == u64 {
				d.Options = &descriptorpb.FieldOptions{Packed: proto.Bool(packed)}
			}
			message.Field = append(message.Field, d)
		}
		file.MessageType = append(file.MessageType, message)
	}
	compiled, err := protodesc.NewFile(file, nil)
	must(err)
	return compiled.Messages()
}

type values map[string]any

// Encodes values (uint64, []byte, values, or lists of them) as the named message.
func build(descriptors protoreflect.MessageDescriptors, name string, vs values) *dynamicpb.Message {
	message := dynamicpb.NewMessage(descriptors.ByName(protoreflect.Name(name)))
	for _, f := range table[name] {
		d := message.Descriptor().Fields().ByName(protoreflect.Name(f.name))
		one := func(v any) protoreflect.Value {
			switch v := v.(type) {
			case uint64:
				if f.kind == u32 {
					return protoreflect.ValueOfUint32(uint32(v))
				}
				return protoreflect.ValueOfUint64(v)
			case values:
				return protoreflect.ValueOfMessage(build(descriptors, f.of, v))
			default:
				return protoreflect.ValueOfBytes(v.([]byte))
			}
		}
		if list, is := vs[f.name].([]any); is {
			for _, v := range list {
				message.Mutable(d).List().Append(one(v))
			}
		} else {
			message.Set(d, one(vs[f.name]))
		}
	}
	return message
}

func encode(descriptors protoreflect.MessageDescriptors, name string, vs values) []byte {
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(build(descriptors, name, vs))
	must(err)
	return bytes
}

// What a decoder has to make of Encoded, and whether an encoder has to make Encoded of it.
type message struct {
	Kind      string `json:"kind"`
	Fields    any    `json:"fields"`
	Canonical bool   `json:"canonical"`
	Encoded   string `json:"encoded"`
}

func messages(inputs *rand.Rand, count int) []message {
	packed, unpacked := compile(true), compile(false)
	var cases []message
	for i := range count {
		action := i % 6
		fields, payload := values{}, []byte{}
		odd := i%12 >= 6
		descriptors := packed
		if odd {
			descriptors = unpacked
		}
		if action != 0 {
			fields = randomProposal(inputs, action)
			payload = encode(descriptors, actions[action], fields)
		}
		spoken := values{
			"seat": uint64(1 + inputs.Intn(255)), "block": inputs.Uint64()>>inputs.Intn(64) | 1, "wallet": bytesOf(inputs, 20),
			"proposal": values{"action": uint64(action), "payload": payload},
		}
		encoded := encode(descriptors, "CoordinationMessage", spoken)
		if odd {
			if action != 0 {
				payload = garnish(inputs, payload)
			}
			spoken["proposal"] = values{"action": uint64(action), "payload": payload}
			// Concatenation merges messages: what comes before is overwritten by what comes after.
			stale := encode(packed, "CoordinationMessage", values{
				"seat": uint64(7), "block": uint64(7), "wallet": bytesOf(inputs, 20),
				"proposal": values{"action": uint64(7), "payload": []byte{}},
			})
			encoded = append(garnish(inputs, stale), garnish(inputs, encode(descriptors, "CoordinationMessage", spoken))...)
			if action == 0 {
				// A zero is not written, so it can't overwrite: write it.
				zero := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
				encoded = protowire.AppendBytes(protowire.AppendTag(encoded, 4, protowire.BytesType), zero)
			}
		}
		decodable(packed, "CoordinationMessage", encoded)
		cases = append(cases, message{"CoordinationMessage", values{
			"seat": spoken["seat"], "block": spoken["block"], "wallet": spoken["wallet"],
			"action": uint64(action), "proposal": fields,
		}.json(), !odd, hexutil.Encode(encoded)})

		key := append([]byte{0x08, 0x02, 0x12, 0x21, byte(2 + inputs.Intn(2))}, bytesOf(inputs, 32)...)
		wrapped := values{
			"identity": encode(packed, "Identity", values{"key": key}), "payload": encoded,
			"type": []byte("tbtc/coordination_message"), "sequence": inputs.Uint64() >> inputs.Intn(64),
		}
		encoded = encode(packed, "Envelope", wrapped)
		if odd {
			wrapped["identity"] = garnish(inputs, wrapped["identity"].([]byte))
			encoded = garnish(inputs, encode(packed, "Envelope", wrapped))
		}
		decodable(packed, "Envelope", encoded)
		cases = append(cases, message{"Envelope", values{
			"sender": key[4:], "payload": wrapped["payload"], "type": wrapped["type"], "sequence": wrapped["sequence"],
		}.json(), !odd, hexutil.Encode(encoded)})
	}
	return cases
}

func randomProposal(inputs *rand.Rand, action int) values {
	fee := bytesOf(inputs, inputs.Intn(9))
	for len(fee) > 0 && fee[0] == 0 {
		fee = fee[1:]
	}
	index := func() any { return uint64(inputs.Uint32() >> inputs.Intn(32)) }
	some := func(one func() any) []any {
		list := []any{}
		for range inputs.Intn(21) {
			list = append(list, one())
		}
		return list
	}
	switch action {
	case 1:
		return values{"message": bytesOf(inputs, 16)}
	case 2:
		deposits := some(func() any { return values{"funding_tx_hash": bytesOf(inputs, 32), "output_index": index()} })
		blocks := []any{}
		for range deposits {
			blocks = append(blocks, inputs.Uint64()>>inputs.Intn(64))
		}
		return values{"deposits": deposits, "fee": fee, "reveal_blocks": blocks}
	case 3:
		return values{"scripts": some(func() any { return bytesOf(inputs, inputs.Intn(40)) }), "fee": fee}
	case 4:
		return values{"targets": some(func() any { return bytesOf(inputs, 20) }), "fee": fee}
	default:
		return values{"moving_funds_tx_hash": bytesOf(inputs, 32), "output_index": index(), "fee": fee}
	}
}

// Adds fields that the table doesn't have, of every wire type.
func garnish(inputs *rand.Rand, bytes []byte) []byte {
	var extra []byte
	extra = protowire.AppendVarint(protowire.AppendTag(extra, 15, protowire.VarintType), inputs.Uint64())
	extra = protowire.AppendFixed32(protowire.AppendTag(extra, 16, protowire.Fixed32Type), inputs.Uint32())
	extra = protowire.AppendFixed64(protowire.AppendTag(extra, 17, protowire.Fixed64Type), inputs.Uint64())
	extra = protowire.AppendBytes(protowire.AppendTag(extra, 536870911, protowire.BytesType), bytesOf(inputs, 5))
	extra = protowire.AppendTag(extra, 19, protowire.StartGroupType)
	extra = protowire.AppendVarint(protowire.AppendTag(extra, 1, protowire.VarintType), 1)
	extra = protowire.AppendTag(extra, 19, protowire.EndGroupType)
	// A known field of another type counts as unknown.
	extra = protowire.AppendFixed32(protowire.AppendTag(extra, 1, protowire.Fixed32Type), inputs.Uint32())
	if inputs.Intn(2) == 0 {
		return append(extra, bytes...)
	}
	return append(append([]byte{}, bytes...), extra...)
}

// Go itself must read what it is claimed to read.
func decodable(descriptors protoreflect.MessageDescriptors, name string, bytes []byte) {
	must(proto.Unmarshal(bytes, dynamicpb.NewMessage(descriptors.ByName(protoreflect.Name(name)))))
}

// Bytes as hex, everything else as it is.
func (vs values) json() values {
	shown := values{}
	var show func(v any) any
	show = func(v any) any {
		switch v := v.(type) {
		case []byte:
			return hexutil.Encode(v)
		case uint64:
			return hexutil.EncodeUint64(v)
		case values:
			return v.json()
		case []any:
			list := []any{}
			for _, one := range v {
				list = append(list, show(one))
			}
			return list
		}
		return v
	}
	for name, v := range vs {
		shown[name] = show(v)
	}
	return shown
}
