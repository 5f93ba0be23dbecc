"""Power loss, replayed: a recording of what a process asked of the disk, and any moment of it.

`record.c` is preloaded into a process and notes every write, truncation, rename, removal and sync
below one directory, and every line on standard output, in the order in which they were done.
`disk` makes of a prefix of that recording the directory as it may look after power came back.
"""
