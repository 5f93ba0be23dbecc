"""Every state that a small mesh can reach while a VM changes hands, with the product's own code.

The hand-off's state machine (radics_mesh.vmm.handoff) and the VM's mailbox
(radics_mesh.hosting.table) are called as they are, once for each distinct (state, input), and
remembered; so visiting a state costs only the walk. What stands around them is modelled: the
network, which loses, repeats, reorders and delays; crashes after any single effect; the guest; and
the shell that carries effects out (radics_mesh.hosting), whose order is copied here.

  world      nodes, budgets, letters: the values that states consist of
  handoff    the real state machine, remembered
  mailroom   the real mailbox, remembered
  deeds      what a shell does, beside the hand-off's effects
  carrying   how each is done at one node
  running    one input carried out; crashes, full disks, and what a restart does
  node       all that may happen to one node next
  bundles    messages for the VM, on their way between nodes
  walk       breadth-first over all states; the invariants; the way to a violation
  rules      the hand-off's and the shell's rules, each removed in turn
  runs       the configurations: the full form (`make explore`) and the reduced one of the tests

Invariants:
  two live       never do two nodes let the guest of one branch execute
  lower branch   who meets a branch that beats its own lets its guest execute no more
  ceased         a branch that gave way at a node does not start there again
  stale          a guest starts from the VM's latest state only; after a power loss from the latest
                 durable one
  lost state     what a node starts from is there
  no way on      from every state, without a further crash and without any user, the guest can be
                 live again, on one branch only, with every message taken and every output sent
  taken twice    no message is taken twice
  lost output    the guest forgets an output only when that is on its way
  said twice     with `--commit output`: no program is set back to before what is on its way
  two processes  a guest starts only where no process of it is left
  attempt        no node uses an attempt number twice, nor is an answer taken for another attempt's
  one number     no two messages get one number in the mailbox

Once an older copy of a node's disk was put back, two may live, one of them stale, until one meets
the other's chain: that no protocol can prevent. What is asked then is that the lower one stops, and
that from every state one at most can be left.
"""
