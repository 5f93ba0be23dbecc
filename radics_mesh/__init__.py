"""RaDiCS: C++ programs as unikernels that move to their data, on a mesh without a coordinator.

The map, from the ground up (imports point down only; setup.cfg holds the contract):

  errors ids codec clock identity membership records ownership config durable   the ground
  link         datagram and stream links, sealed between members
  admission    how a stranger becomes a member: invite tokens, knocks
  dht/         Kademlia on Trio: who publishes a source, runs a VM, holds an image
  dtn/         RFC 5050 bundles: security, store, routing, TCPCLv3
  vmm/         images, QEMU, the guest's channel, snapshots, the hand-off's state machine
  directory    one look-up over local knowledge and the DHT
  sources/     named append-only data sources and their subscribers' cursors
  hosting/     the VMs of this node: run, save, resume, migrate
  scheduler/   where each VM should be, and why
  node         the composition root: one nursery, all services
  control      the local control socket that the command line and the status screen use
  cli/ tui/    what people see
"""

__version__ = "0.1.0"
