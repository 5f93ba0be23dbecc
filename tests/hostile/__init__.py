"""Members that lie: what they do, and how often look-ups of honest records succeed beside them.

attacks   what a hostile member does: a real node whose answers are another's, and loops of its own
world     a mesh of honest and hostile members in simulation, and the look-ups that are counted
__main__  `make hostile`: the table
"""
