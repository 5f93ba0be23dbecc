"""Images between nodes: who has one, fetching it from several at once, pushing it to another.

service   Images, the Trio shell: what users and the VMs of this node ask for
messages  what two nodes' `images` services say to each other
fetch     sans-IO: one image on its way here: which piece to ask of whom, and when again
partial   its pieces on disk, so that a restarted node goes on where it was

    pull -> directory: who holds it? -> DESCRIBE -> MANIFEST (signed) -> WANT pieces of each holder
    -> PIECE, checked one by one, durable -> whole -> ImageStore -> announced: one holder more
    push -> PUSH (manifest) -> the other node pulls from us -> TAKEN
"""
