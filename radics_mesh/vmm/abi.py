"""The host's twin of the channel half of guest_lib/include/radics_abi.h, which explains it all.

Names are the header's without `RADICS_`; tests/vmm/test_abi.py compares the two.
"""

from __future__ import annotations

ABI_MAJOR = 1
ABI_MINOR = 0

FRAME_MAX = 69632
MESSAGE_MAX = 65536
NAME_MAX = 255
STREAMS_MAX = 64
OUT_WINDOW = 262144
STREAM_WINDOW = 131072

# The header says this in words: what a message costs of STREAM_WINDOW beyond its payload.
MESSAGE_OVERHEAD = 64

F_HELLO = 0x01
F_OUT_ACK = 0x02
F_DATA = 0x03
F_PARK = 0x04

M_END = 0x01

F_HELLO_ACK = 0x81
F_STREAM = 0x82
F_OUT = 0x83
F_PARKED = 0x84
F_PANIC = 0x85

OUT_LOG = 1
OUT_SEND = 2
OUT_SUBSCRIBE = 3
OUT_EXIT = 4

SYS_BASE = 5200
SYS_SEND = 5200
SYS_RECEIVE = 5201
SYS_SUBSCRIBE = 5202
SYS_INFO = 5203
SYS_LOG = 5204

INFO_NAME = 0
INFO_EID = 1
INFO_HOST = 2
INFO_HOST_EID = 3
INFO_EPOCH = 4
INFO_ABI = 5
INFO_SOURCES = 6
