"""Bytes from outside against every parser of the DTN layer: `make fuzz-dtn SECONDS=600`.

targets    what is fed, what may come out of it, and what it begins from
guided     mutations that are kept when they reach new lines
__main__   both kinds, guided and hypothesis, for so many seconds; what they find goes to
           tests/vectors/fuzz, and tests/fuzzing/test_fuzz.py feeds that again for ever
"""
