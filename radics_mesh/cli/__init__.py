"""The command line: each command asks the running node one thing and prints the answer.

entry    the command group, and how errors end: one line on stderr, no traceback
endings  mistakes and bugs told apart
asking   the --state option, requests to the node
amounts  numbers with a unit: rates, times
logs     log lines, to stderr
tables   tables for terminals and plain text without one
join     runs the node itself, in the foreground
mesh     approve, knocks, invite, nodes, events, status
vms      build, run, ps, logs, stop, save, resume, migrate, where, why
wishes   how an image is to be run: options of build and image add; signing where it is built
recovery doctor, recover, policy
data     publish, sources, send, recv, bundles
"""
