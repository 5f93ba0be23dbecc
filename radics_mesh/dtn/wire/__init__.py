"""Bundles as bytes.

  sdnv         the numbers that everything else is written in
  blocks       blocks after the primary one; dictionary and CBHE; previous hop, Age
  bundle       the primary block, a whole bundle, its identity
  admin_records  status reports and custody signals
  content      bytes that may be in a file;  scratch: files without names
  offload      large bundles are worked on in a thread

Parsers raise WireError and nothing else, whatever the bytes.
"""
