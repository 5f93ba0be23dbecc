"""The virtual machines of this node: run, stop, save, resume, hand over.

service    Hosting, what the node, the scheduler and the user call; who may have how much memory
vm         one VM on this node: carries out the hand-off's effects, one thing after the other
vm_task    one running guest: its outputs become bundles, its mail and sources become messages
moving     pieces of images and snapshots from node to node, and what a move cost
papers     what a VM carries along beside its memory: settings, mailbox, counters
table      all of it that must survive, in SQLite
logs       what guests print: an append-only file a VM, bounded
status     what people, the scheduler and the screen are told

    bundle for a VM -> vm_task.receive -> table (durable) -> machine.deliver -> guest
    guest -> machine.events -> vm_task -> agent.send, log (durable) -> table -> machine.acknowledge
    bundle for dtn://<node>/handoff -> service -> vm -> radics_mesh.vmm.handoff -> effects
"""
