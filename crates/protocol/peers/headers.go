// Block hashes as the Go client's library computes them: from the fields that it knows.
package main

import (
	_ "embed"
	"encoding/json"
	"math/big"
	"math/rand"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Headers of public chains after Prague, with the hashes that the chains know them by.
//
//go:embed public-headers.json
var publicHeaders []byte

type header struct {
	Header    json.RawMessage `json:"header"`
	Canonical *common.Hash    `json:"canonical"`
	Legacy    common.Hash     `json:"legacy_header"`
}

func headers(inputs *rand.Rand, count int) []header {
	var public []json.RawMessage
	must(json.Unmarshal(publicHeaders, &public))
	var cases []header
	for _, raw := range public {
		var known struct{ Hash common.Hash }
		must(json.Unmarshal(raw, &known))
		cases = append(cases, header{raw, &known.Hash, legacyHash(raw)})
	}
	for i := range count {
		block := randomHeader(inputs, i%5)
		raw, err := json.Marshal(block)
		must(err)
		c := header{Header: raw, Legacy: block.Hash()}
		if i%5 == 4 {
			// Prague: the library doesn't know the field, nor then the canonical hash.
			var fields map[string]any
			must(json.Unmarshal(raw, &fields))
			fields["requestsHash"] = hexutil.Encode(bytesOf(inputs, 32))
			c.Header, err = json.Marshal(fields)
			must(err)
			c.Legacy = legacyHash(c.Header)
		} else {
			c.Canonical = &c.Legacy
		}
		cases = append(cases, c)
	}
	return cases
}

func legacyHash(raw json.RawMessage) common.Hash {
	var block types.Header
	must(json.Unmarshal(raw, &block))
	return block.Hash()
}

// Fork 0 is Homestead, 1 London, 2 Shanghai, 3 Cancun, 4 Cancun yet to be made Prague.
func randomHeader(inputs *rand.Rand, fork int) types.Header {
	hash := func() common.Hash { return common.BytesToHash(bytesOf(inputs, 32)) }
	number := func() *uint64 { value := inputs.Uint64() >> inputs.Intn(64); return &value }
	block := types.Header{
		ParentHash: hash(), UncleHash: hash(), Coinbase: common.BytesToAddress(bytesOf(inputs, 20)), Root: hash(),
		TxHash: hash(), ReceiptHash: hash(), Bloom: types.BytesToBloom(bytesOf(inputs, 256)),
		Difficulty: new(big.Int).SetUint64(*number()), Number: new(big.Int).SetUint64(*number()), GasLimit: *number(),
		GasUsed: *number(), Time: *number(), Extra: bytesOf(inputs, inputs.Intn(33)), MixDigest: hash(),
	}
	copy(block.Nonce[:], bytesOf(inputs, 8))
	if fork >= 1 {
		block.BaseFee = new(big.Int).SetUint64(*number())
	}
	if fork >= 2 {
		withdrawals := hash()
		block.WithdrawalsHash = &withdrawals
	}
	if fork >= 3 {
		root := hash()
		block.BlobGasUsed, block.ExcessBlobGas, block.ParentBeaconRoot = number(), number(), &root
	}
	return block
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
