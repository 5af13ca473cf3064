// Makes test vectors with the libraries that the Go client is made of: Go's own math/rand, go-ethereum of a version
// that knows headers only up to parentBeaconRoot, and Go's Protocol Buffers. Prints them as JSON, as crates/protocol's
// tests read them.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
)

func main() {
	seed := flag.Int64("seed", 1, "what the random inputs follow from")
	count := flag.Int("count", 200, "how many cases of each kind")
	only := flag.String("only", "", "print this section alone: go_math_rand, coordination, headers or wire")
	flag.Parse()

	inputs := rand.New(rand.NewSource(*seed))
	sections := map[string]any{
		"go_math_rand": generators(inputs, *count),
		"coordination": coordinations(inputs, *count),
		"headers":      headers(inputs, *count),
		"wire":         messages(inputs, *count),
	}
	if *only != "" {
		section, known := sections[*only]
		if !known {
			fmt.Fprintf(os.Stderr, "there is no section %q\n", *only)
			os.Exit(2)
		}
		sections = map[string]any{*only: section}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(sections); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func bytesOf(inputs *rand.Rand, length int) []byte {
	bytes := make([]byte, length)
	inputs.Read(bytes)
	return bytes
}
