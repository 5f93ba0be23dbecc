"""Who signed a bundle, and who may read it.

  security     a Payload Integrity Block with Ed25519ph
  security_block  the form of security blocks (RFC 6257)
  chains       what proves a signer: beside the bundle, or left out where it is known
  confidentiality  payloads that only the destination node reads

A signature covers what does not change on a bundle's way.
"""
