"""Faults injected into real nodes with a real guest, each run repeatable by its seed.

zygote    forks node processes: their imports are done once
node      one node: its process, its QEMUs, its disk as after power loss
line      the wire between two nodes, that can be cut; loopback: addresses of a mesh's own
watch     which guests execute, seen from their memory, whatever nodes say
ticker.c  the guest's program: it says what it got, and counts
mesh      four nodes, observer - relay - source and target
plans     what is to go wrong in a run, chosen by its seed
run       one run: a VM moves, something fails, what was promised is looked for
table     what came out of many

  make faults RUNS=500 SEED=1
"""
