"""What RFC 5050 has a node decide, sans-IO: time is `now`.

  processing   what is made, admitted, changed when it leaves, delivered
  fragments    cutting and joining;  coverage: which bytes of a whole are there
  reassembly   which fragments make a whole
  reports      which status reports to make
  custody      who answers for a bundle, timers, retransmission
  groups       bundles for many: who here is still to have a copy

They say what is to be done; radics_mesh.dtn.handling does it.
"""
