package radics

import (
	"strconv"
	"strings"
	"time"
)

// Node is what the node that the VM is on knows of a node.
type Node struct {
	Name, EID, Arch string
	Cores           int
	Load            float64 // CPU share in use, 0 to 1
	MemoryFree      uint64  // bytes, for guests
	VMs             int
	Latency         time.Duration // round trip from here; < 0: no link or not known
	Age             time.Duration // since it said so
	Here            bool          // the node this VM is on
}

// Source is a data source that the node has heard of.
type Source struct {
	Name, Publisher string
	Age             time.Duration
}

// Mesh is what the node knows of nodes and sources.
func Mesh(timeout time.Duration) (nodes []Node, sources []Source, err error) {
	answer, err := Request(":mesh", nil, timeout)
	// Unknown kinds of line, and fields behind those we know, are those of a later version.
	for _, line := range strings.Split(answer.Text(), "\n") {
		switch f := strings.Split(line, "\t"); {
		case f[0] == "node" && len(f) >= 11:
			nodes = append(nodes, node(f))
		case f[0] == "source" && len(f) >= 4:
			sources = append(sources, Source{f[1], f[2], seconds(f[3])})
		}
	}
	return nodes, sources, err
}

func node(f []string) Node {
	return Node{
		Name:       f[1],
		EID:        f[2],
		Arch:       f[3],
		Cores:      int(decimal(f[4])),
		Load:       decimal(f[5]),
		MemoryFree: uint64(decimal(f[6])),
		VMs:        int(decimal(f[7])),
		Latency:    seconds(f[8]),
		Age:        seconds(f[9]),
		Here:       f[10] == "here",
	}
}

// "-" is not known: -1.
func decimal(field string) float64 {
	if field == "-" {
		return -1
	}
	n, _ := strconv.ParseFloat(field, 64)
	return n
}

func seconds(field string) time.Duration {
	return time.Duration(decimal(field) * float64(time.Second))
}
