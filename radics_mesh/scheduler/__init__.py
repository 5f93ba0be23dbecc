"""Where each VM of this node should be, decided by this node alone, and why.

  traffic   what each VM takes from which source, bytes a second
  facts     what is known of a node and of a VM, and how old it is
  paths     how long a bundle takes between two nodes, from what nodes say of their neighbours
  cost      C(vm, node): what it costs that a VM is on a node, and what a move costs
  decide    pure: facts and time in, a Decision with all its terms out
  explain   a Decision as lines for people
  invite    what a publisher's node says to the host of a VM that it feeds
  service   Trio shell: reads, decides each second and at each invitation, has the VM moved

What flows: feeds and records -> facts -> decide -> hosting.migrate. Push (this host is overloaded)
and pull (a source's node invites) end in the same decision; the reservation is the hand-off's.
"""
