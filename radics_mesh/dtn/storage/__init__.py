"""What this node holds, durable before anybody is told so.

  store        the one front
  held         one stored bundle's index entry;  ages: made from a row, and a row from it
  index        what is held: the first of each queue in memory;  backlog: the rest, on disk
  spool        a large bundle on its way into a file
  database     the store's files;  commits: group commit
  salvage      opening damaged ones;  carving: rows to which no index leads any more
  quotas       how much the store may hold, of whom;  eviction: who goes for whom when it is full
  filter       a quick "certainly not" before the database is asked

What may never be lost, and what may come twice, is said at the top of `store`.
"""
