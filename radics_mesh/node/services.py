"""All services of one node: made here, told of each other here, run in one nursery.

    UDP ─ sealed ─ Dht ─ Directory ──┬─ NeighbourGraph ─ Agent ─ Contacts ─ TCP
                                     ├─ Sources, Images ─ Hosting ─ Scheduler
    load, sessions ─ own node record ┘

Two loops tie the floors together: `OwnRecord` states this node's record when something about it
changed, at the latest every publish_every_s; `Others` turns what other nodes state into routes and
addresses to dial.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import structlog
import trio

from radics_mesh.admission.service import Admission
from radics_mesh.config import Address, Config
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.gossip import Gossip
from radics_mesh.dtn.layers.carrier import Carrier
from radics_mesh.dtn.layers.contacts import Contacts
from radics_mesh.dtn.layers.udpcl import UdpLayer
from radics_mesh.dtn.routes.allotted import Allotted
from radics_mesh.dtn.routes.choice import Surroundings, table_of
from radics_mesh.dtn.routes.kept import Kept
from radics_mesh.dtn.routes.routing import NeighbourGraph
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.confidentiality import Policy
from radics_mesh.gossip.record_bundles import RecordBundles
from radics_mesh.hosting.service import Hosting
from radics_mesh.ids import NodeId, same_node
from radics_mesh.images.service import Images
from radics_mesh.link import (
    TAG_DHT,
    DatagramLink,
    Restricted,
    SealedDatagrams,
    UdpLink,
    resolve_all,
)
from radics_mesh.me import Me
from radics_mesh.membership import Certificate, Chain
from radics_mesh.node.advertising import Advertising
from radics_mesh.node.contact_log import ContactLog
from radics_mesh.node.discovering import discovery_of
from radics_mesh.node.echo import Echo
from radics_mesh.node.facts import guest_memory_bytes
from radics_mesh.node.holdings import DirectoryHoldings
from radics_mesh.node.journal import Journal
from radics_mesh.node.leaving import grounded
from radics_mesh.node.mesh_text import mesh_text
from radics_mesh.node.names import Names
from radics_mesh.node.others import Others
from radics_mesh.node.own_record import OwnRecord
from radics_mesh.node.policing import Policing
from radics_mesh.node.rekeying import Rekeying
from radics_mesh.node.renewing import Renewing
from radics_mesh.node.replicas import Replicas
from radics_mesh.node.revoking import Revoking
from radics_mesh.node.sightings import Sightings
from radics_mesh.node.state import StateDirectory
from radics_mesh.node.timing import Timing, is_vouched
from radics_mesh.node.watching import (
    comparing_of,
    liveness_of,
    of_use,
    stir_at_changes,
    tell_of_changes,
)
from radics_mesh.node.whereabouts import Whereabouts
from radics_mesh.revocations import Revocation, revoke
from radics_mesh.scheduler.decide import Settings
from radics_mesh.scheduler.service import Scheduler
from radics_mesh.sources.gate import Gate
from radics_mesh.sources.service import Sources
from radics_mesh.timekeeping import SureClock
from radics_mesh.vmm.accelerator import Finding
from radics_mesh.vmm.image_store import ImageStore

log = structlog.get_logger(__name__)

# Of a member that was renewed before it was heard that its inviter had revoked it.
RENEWED_REASON = "its inviter had revoked it"


class Services:
    """One node. `udp` is bound already, at the port where TCP will listen too."""

    def __init__(self, config: Config, me: Me, link: DatagramLink, accelerator: Finding) -> None:
        state = config.state
        clock = me.clock
        self.config = config
        self.me = me
        self.accelerator = accelerator
        self.started = clock.monotonic()
        self.journal = Journal(clock)
        # First: whatever is read from disk below is judged by these.
        vouched = (lambda: True) if config.trust_clock else is_vouched
        self.timing = Timing(me, state, vouched=vouched, tell=self.journal.note)
        sure = SureClock(clock, self.timing.keeper)
        self.revoking = Revoking(me, state)
        self.rekeying = Rekeying(me, state, self.revoking.known)
        kept = StateDirectory(state)
        self.renewing = Renewing(me, state, kept.renew, kept.genesis())
        self.policing = Policing(state, self.journal.note)
        self.port = link.local[1]
        self.link = SealedDatagrams(link, *self.rekeying.ring.secrets())
        self.dht = Dht(
            link=self.link.channel(TAG_DHT),
            node_id=me.node_id,
            clock=clock,
            bootstrap=config.bootstrap,
            peers_path=state / "peers.msgpack",
            me=me,
        )
        self.whereabouts = Whereabouts(config.listen.host, self.port, self.dht, self.journal.note)
        self.directory = Directory(
            dht=self.dht,
            identity=me.identity,
            chain=me.chain,
            verifier=me.verifier,
            clock=clock,
            config=config,
        )
        self.liveness = liveness_of(me, self.link, self.dht, self.directory, config)
        self.liveness.pinned = lambda: of_use(self.sessions(), self.hosting)
        self.names = Names(me.node_id, config.name, self.directory, self.dht)
        self.directory.is_unreachable = self.liveness.is_gone
        self.holdings = DirectoryHoldings(self.directory, self.liveness.view)
        self.comparing = comparing_of(
            me, self.link, self.liveness, self.holdings, config.compare_every_s
        )
        self.graph = NeighbourGraph(me.node_id)
        self.store = BundleStore.open(
            state / "bundles",
            clock=sure,
            quota_bytes=config.store_quota_bytes,
            source_quota_bytes=config.store_source_quota_bytes,
        )
        self.allotted = Allotted(state / "copies.db")
        self.allotted.forget_others(self.store.holds)
        self.predictabilities = Kept(state / "prophet.table", clock)
        self.routes = table_of(
            config.routes,
            Surroundings(
                me.node_id,
                self.graph,
                self.names.find,
                clock,
                self.allotted,
                self.predictabilities,
            ),
        )
        self.agent = Agent(
            me=me,
            store=self.store,
            router=self.routes,
            locate=self.directory.locate,
            lifetime_s=config.bundle_lifetime_s,
            evicts=config.store_evicts,
            privacy=Policy(me.identity, config.encrypt, self.directory.key_of),
            of_ibr=lambda eid: any(
                peer.is_ibr and same_node(peer.eid, eid) for peer in config.foreign
            ),
            noted=self.allotted.flushed,
        )
        self.gossip = Gossip(
            own=me.node_id,
            agent=self.agent,
            table=self.routes,
            clock=clock,
            noted=self._routing_noted,
        )
        self.record_bundles = RecordBundles(
            own=me.node_id,
            agent=self.agent,
            holdings=self.holdings,
            clock=clock,
            reached=self.liveness.is_near,
            gone=self.liveness.gone,
        )
        self.revoking.attach(self.agent)
        self.revoking.heard = self._put_out
        self.timing.attach(self.agent, lambda: [one.publisher for one in self.directory.members()])
        self.renewing.attach(self.agent)
        self.renewing.renewed = self._show
        self.renewing.revoke = self._revoke
        self.rekeying.attach(self.agent, self.directory.members)
        self.rekeying.changed = self._use_keys
        self.admission = Admission(
            me, state=state, own=self.addresses, mesh_keys=self.rekeying.ring.given
        )
        self.echo = Echo(me.node_id, self.agent)
        self.sightings = Sightings()
        self.agent.watch_reports(self.sightings.hear)
        self.contacts = Contacts(
            me=me,
            agent=self.agent,
            config=config,
            random=random.random,
            admit=self.admission.serve,
        )
        self.others = Others(
            own=me.node_id,
            directory=self.directory,
            graph=self.graph,
            agent=self.agent,
            rekeying=self.rekeying,
            liveness=self.liveness,
            dht=self.dht,
            contacts=self.contacts,
            whereabouts=self.whereabouts,
            sessions=self.sessions,
        )
        self.datagrams = UdpLayer(agent=self.agent, config=config, random=random.random)
        # What discovery counts, where there is any.
        self.beacons: Mapping[str, int] = {}
        self.contact_log = ContactLog(self.agent, self.contacts, clock)
        self.carrier = Carrier(
            me=me,
            agent=self.agent,
            store=self.store,
            foreign=config.foreign,
            card=self.others.card,
            learn=self.others.learn_card,
        )
        self.sources = Sources(
            path=state / "sources.sqlite",
            me=me.node_id,
            agent=self.agent,
            directory=self.directory,
            clock=clock,
            gate=Gate(self.certificate, lambda: self.policing.permits, self.policing.tell_denied),
        )
        self.images = Images(
            path=state / "incoming-images",
            store=ImageStore(state / "images", config.image_quota_bytes),
            me=me,
            agent=self.agent,
            directory=self.directory,
        )
        self.hosting = Hosting(
            path=state / "hosting",
            agent=self.agent,
            sources=self.sources,
            directory=self.directory,
            images=self.images.store,
            me=me,
            config=config,
            accelerator=accelerator.accelerator,
            memory_bytes=guest_memory_bytes(config),
            name_of=self.names.of,
            mesh=self._mesh_text,
            seek_image=self.images.seek,
            permits=lambda: self.policing.permits,
            tell_denied=self.policing.tell_denied,
        )
        self.images.store.in_use = self.hosting.images_in_use
        self.own_record = OwnRecord(
            me=me,
            config=config,
            directory=self.directory,
            hosting=self.hosting,
            graph=self.graph,
            rekeying=self.rekeying,
            whereabouts=self.whereabouts,
            accelerator=accelerator.accelerator,
            sessions=self.sessions,
        )
        self.replicas = Replicas(me.node_id, self.agent, self.hosting, self.images)
        self.advertising = Advertising(self.directory, self.agent.served)
        self.scheduler = Scheduler(
            me=me.node_id,
            agent=self.agent,
            directory=self.directory,
            sources=self.sources,
            hosting=self.hosting,
            describe=self.own_record.body,
            settings=Settings(config.hysteresis, config.horizon_s, enabled=config.scheduler),
            overload=config.overload,
            clock=clock,
            is_gone=self.liveness.is_gone,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. UsageError when the port is taken. VMs go on without the node.

        What ends with the node is withdrawn then, so that the others need not find out.
        """
        try:
            async with grounded(self._ground, self.directory.leave), trio.open_nursery() as nursery:
                await nursery.start(self.comparing.run)
                nursery.start_soon(stir_at_changes, self.directory, self.comparing)
                nursery.start_soon(
                    tell_of_changes,
                    self.liveness,
                    self.directory,
                    self.journal,
                    self.names.last_of,
                )
                await nursery.start(self.agent.run)
                await nursery.start(self.gossip.run)
                await nursery.start(self.record_bundles.run)
                await nursery.start(self.revoking.run)
                await nursery.start(self.rekeying.run)
                await nursery.start(self.renewing.run)
                await nursery.start(self.timing.run)
                await nursery.start(self.policing.run)
                await nursery.start(self.sources.run)
                await nursery.start(self.images.run)
                await nursery.start(self.hosting.run)
                await nursery.start(self.replicas.run)
                listening = await nursery.start(self.contacts.run)
                udp = await nursery.start(self.datagrams.run)
                if self.config.discover:
                    discovery = discovery_of(self.me, self.config, self.contacts, listening, udp)
                    self.beacons = discovery.counters
                    await nursery.start(discovery.run)
                nursery.start_soon(self.advertising.run)
                nursery.start_soon(self.others.run)
                nursery.start_soon(self._follow_contacts)
                nursery.start_soon(self.contact_log.run)
                nursery.start_soon(self._follow_hosting)
                nursery.start_soon(self.images.tell, self.hosting.image_came)
                nursery.start_soon(self.own_record.run)
                nursery.start_soon(self._follow_departed)
                for path in self.config.carry:
                    nursery.start_soon(self.carrier.watch, path, self.journal.note)
                nursery.start_soon(self.scheduler.run)
                task_status.started()
        finally:
            self.link.close()
            self.store.close()
            self.allotted.close()
            self.predictabilities.close()
            self.admission.close()

    async def _routing_noted(self) -> None:
        await self.allotted.flushed()
        await self.predictabilities.flushed()

    async def _ground(self, nursery: trio.Nursery) -> None:
        """What the node's last words need. The failure detector's good-bye is the very last."""
        nursery.start_soon(self.link.run)
        await nursery.start(self.dht.run)
        await nursery.start(self.directory.run)
        await nursery.start(self.liveness.run)

    # --- this node ------------------------------------------------------------------------------

    def addresses(self) -> list[Address]:
        """Where others may dial this node: what it knows by itself, then as whom it is seen."""
        return self.whereabouts.addresses()

    def certificate(self, node: NodeId) -> Certificate | None:
        """A member's, as far as one is known here."""
        return self.me.certificate_of(node) or self.directory.certificate(node)

    def _mesh_text(self) -> bytes:
        # Here, because rows is built upon this module.
        from radics_mesh.node import rows

        return mesh_text(rows.node_rows(self), rows.source_rows(self))

    def sessions(self) -> Iterator[tuple[NodeId, float]]:
        """Members that this node has a session with, and the round trip in seconds."""
        for peer in self.contacts.peers():
            if isinstance(peer, NodeId):
                yield peer, self.contacts.rtt_s(peer) or 0.0

    # --- the others -----------------------------------------------------------------------------

    async def _follow_contacts(self) -> None:
        async for change in self.contacts.changes.listen():
            self.own_record.changed()
            name = self.names.of(change.peer)
            if change.up:
                self.journal.note(f"{name} is in reach")
            else:
                self.journal.note(f"{name} is out of reach", "warning")

    async def _follow_hosting(self) -> None:
        """What happened to VMs, this time or before the node was restarted, is journalled too."""
        seen = 0
        while True:
            for row in self.hosting.journal(seen):
                seen = row.number
                self.journal.note(row.text, row.level, at=row.time)
            await self.hosting.journalled()

    async def _follow_departed(self) -> None:
        """Keep in mind where the VMs are that were here: `ps` shows them, bundles follow them."""
        while True:
            for vm_id in self.hosting.departed():
                self.directory.locate(vm_id.eid)
            await trio.sleep(self.config.publish_every_s)

    def _put_out(self, news: list[Revocation]) -> None:
        """Members were revoked: what they say is refused by now, and sessions with them end."""
        for one in news:
            why = f": {one.reason}" if one.reason else ""
            who = f"{self.names.last_of(one.by)} has revoked {self.names.last_of(one.node_id)}"
            self.journal.note(f"{who}{why}", "warning")
        self.contacts.drop_revoked()
        self.rekeying.revocations_changed()
        self.renewing.revocations_changed()

    async def _revoke(self, chain: Chain) -> None:
        """This node's own word that the last one of a chain is no member, to all that it knows."""
        me = self.me
        statement = revoke(
            me.identity, me.chain, chain.member, when=me.clock.wall(), reason=RENEWED_REASON
        )
        await self.revoking.publish(statement, [one.publisher for one in self.directory.members()])

    def _show(self, chain: Chain) -> None:
        """This node has another certificate, which is durable."""
        self.directory.renew(chain.pack())
        self.journal.note("this node's certificate was renewed")
        self.own_record.changed()

    def _use_keys(self) -> None:
        """Other mesh keys are live than before: datagrams go by them, the own record says so."""
        ring = self.rekeying.ring
        self.link.seals.use(ring.secrets())
        epoch, live = ring.newest.epoch, len(ring.live())
        older = "" if live == 1 else ", older ones still count"
        self.journal.note(f"the mesh key is of epoch {epoch}{older}")
        self.own_record.changed()


async def open_link(config: Config) -> tuple[UdpLink, DatagramLink]:
    """The UDP socket, and the same restricted to the neighbours if there are any."""
    udp = await UdpLink.open(config.listen)
    if not config.neighbours:
        return udp, udp
    return udp, Restricted(udp, await resolve_all(config.neighbours))
