"""What neighbours tell each other: who is there, by SWIM with Lifeguard, and which records exist.

swim        the failure detector: receives datagrams, probes, spreads news. Sans-IO
settings    how often it does what
probes      the probe under way, its pings, and those of others that this node helps with
outbox      its datagrams, filled up with news
members     the bounded view: whom this node watches, and whom it cannot reach since when
suspicion   how long a suspect has to answer, and who suspects it
rumours     what is news, and how often it must still be told
words       statements that their speakers sign: alive, left, suspected; and acknowledgements
messages    the datagrams
budget      how much news of one signer is believed
absences    who is gone since when, over a restart
liveness    the thin Trio shell of the failure detector

entropy           anti-entropy: what this node lacks of what others hold. Sans-IO
digests           what is held, as names, versions and sums that can be compared
entropy_messages  its datagrams
comparing         its thin Trio shell, over sealed datagrams
record_bundles    the same where only bundles pass

SWIM: Das, Gupta, Motivala: SWIM: Scalable Weakly-consistent Infection-style Process Group
Membership Protocol, DSN 2002. Lifeguard: Dadgar, Phillips, Currey: Lifeguard: Local Health
Awareness for More Accurate Failure Detection, DSN 2018 workshops. They are cited below by section.
"""
