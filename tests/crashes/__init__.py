"""A node that is killed again and again in the middle of traffic, and what it owes afterwards.

  node     the process that is killed: a store, an agent, TCPCL sessions, an application
  traffic  sends through it and to it, kills it, starts it again, keeps the accounts

`make crashes RUNS=50` kills it so many times, once with its disk left as it was and once with every
write that was not synced taken away (radics_mesh's power loss: see tests/power_loss). What it must
keep: a bundle that it acknowledged arrives; at a node that is not killed none arrives twice; its
own application gets none again of which it was told that it is delivered for good.
"""
