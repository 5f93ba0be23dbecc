"""What a node knows of the mesh, without I/O: the cores below radics_mesh.directory.

book        the newest record of every fact and publisher, with its age
floors      how new a record must be that is not in the book
holders     who holds each VM, by its chain of ownership
index       which names there are below a directory, said so that it can be looked up
objects     content-addressed bytes, cut to fit the DHT
refresh     what to look up again, and when
statements  what this node states, and when it must say so again
sequence    the number that makes this node's newer records win, over restarts too (on disk)
"""
