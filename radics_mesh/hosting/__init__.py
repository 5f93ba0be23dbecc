"""The virtual machines of this node: run, stop, save, resume, hand over.

service    Hosting, what the node and the scheduler call; made of roster (the VMs as a list), orders
           (what users want of them) and words (what other nodes say)
host       what all VMs of the node share
vm         one VM on this node, one thing after the other: what the user and other nodes want of it
vm_view    its state as others see it
vm_tenancy how its guest starts and ends, and is found after a restart
vm_restarts how its guest ends, and whether another one begins
vm_moving  the hand-off's effects, carried out in order
vm_branches recovered here from a checkpoint; given way to a branch that counts for more
starts     its row, and its guest: launched, or adopted; life: parked, going on, killed
snapshots  the states of it that are kept here, on disk
surveyor   what its running guest's memory holds, kept up for a short park
shelf      all snapshots of the node: listed, checked, exported, imported; collecting: frees disk
policy     what becomes of a VM whose holder is lost
keeping    checkpoints at other nodes: giver as their holder, custodian as their keeper,
           keeping_messages between them; custody: what is kept, divergent states among it
copying    mail goes there, too, until a checkpoint covers it (copies), and to who goes on
meetings   where branches of a VM meet, and who is told
recovery   a lost VM: what is known, the ways out, going on by force
witness    peers witness this node's starts, and it theirs; boots: what of it is durable
strays     QEMUs that nobody remembers
pool       QEMUs that wait for any VM, so that starting one is quick
standby    a QEMU that waits for a snapshot which is still on its way
vm_task    one running guest: its outputs become bundles and log
vm_mail    what comes for it: bundles become mail in its boxes, mail becomes its messages
vm_feeds   the same for what it is subscribed to
vm_limits  what it may say; what is said of one that is held back
vm_transfer what goes between the two nodes of a move: image, pages, manifest; vm_giving: the
           source's part of that
staging    how the source does that: what the target is told of; sending: pages, in packs
arrival    the target's: which pages a VM that comes has, which are here
blobs      how it goes: what is sent, what is asked for; pace: how fast
moving     the pieces that images and manifests come in
move       a move that somebody waits for
notices    tells the directory and the bundle agent what became of a VM
conduct    what becomes of a VM whose program ends, and what it may use
papers     what a VM carries along beside its memory: settings, mailbox, counters
table      all of it that must survive, in SQLite
boxes      of that, the messages that wait for guests; kept: those that a rollback brings again
outbox     what guests have said that waits for a checkpoint; releases: sends it after that
commit     what the user chose of both; checkpoints: when the next one is due
vm_checkpoints one VM's checkpoints, written and made to count
database   one connection, its transactions
logs       what guests print: an append-only file a VM, bounded; journal: what happened to VMs
status     what people, the scheduler and the screen are told

    bundle for a VM -> vm_mail.receive -> table (durable) -> machine.deliver -> guest
    guest -> machine.events -> vm_task -> agent.send, log (durable) -> table -> machine.acknowledge
    bundle for dtn://<node>/handoff -> service -> vm -> radics_mesh.vmm.handoff -> effects
"""
