"""What a node's owner lets others have of it: the rules of policy.toml. Sans-IO.

    [vms.lab]                    # of VMs that shall run here: by the member in whose name they were
    owners = ["lab", "alice*"]   # born. Of what is not said any will do; * and ? are as in a shell.
    members = ["n1"]             # names or ids
    roles = ["operate"]          # its certificate has all of these
    signers = ["builder"]        # owner, name or id of the member that signed the image
    sources = ["camera/*"]       # what these VMs may read
    vms = 4                      # what each such member's VMs may have here, instead of --quota
    memory_mb = 512
    storage_mb = 4096

    [vms.others]
    allow = false

    [sources.cameras]            # of sources that are published here: who may read them
    names = ["camera/*"]
    owners = ["lab"]             # members, roles: as above

The first rule decides that fits the member (of sources, the name too); then all that it demands
must hold. What fits no rule is denied where there are any of its kind, and allowed where there are
none. Devices need no rules of their own: no guest has any but by a source that somebody publishes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from radics_mesh import roles
from radics_mesh.config import Quota
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import NodeId
from radics_mesh.membership import Certificate
from radics_mesh.roles import NO_ROLE, Role

FILE_NAME = "policy.toml"
_VMS, _SOURCES = "vms", "sources"
_MB_MAX = 1 << 30
Patterns = tuple[str, ...]


@dataclass(frozen=True)
class Party:
    """Whom a rule is asked about. Of a member whose certificate was never seen only the id is
    known: it fits rules that say nothing of owner, name and roles."""

    node: NodeId
    certificate: Certificate | None

    def __str__(self) -> str:
        if self.certificate is None:
            return f"{self.node.short}, whose certificate is not known here"
        return f"{self.certificate.name} ({self.certificate.owner})"

    def fits(self, owners: Patterns | None, members: Patterns | None, wanted: Role) -> bool:
        known = self.certificate
        owner, name = (known.owner, known.name) if known else (None, None)
        return (
            _any_fits(owners, owner)
            and _any_fits(members, name, self.node.text)
            and (not wanted or (known is not None and known.roles & wanted == wanted))
        )

    def is_among(self, patterns: Patterns) -> bool:
        known = self.certificate
        names = (known.owner, known.name) if known else ()
        return _any_fits(patterns, self.node.text, *names)


def _any_fits(patterns: Patterns | None, *texts: str | None) -> bool:
    if patterns is None:
        return True
    return any(fnmatchcase(text, p) for text in texts if text is not None for p in patterns)


@dataclass(frozen=True)
class Rule:
    """`name` as in the file: vms.lab."""

    name: str
    allow: bool
    owners: Patterns | None
    members: Patterns | None
    roles: Role
    # Of VMs' rules.
    signers: Patterns | None = None
    sources: Patterns | None = None
    quota: Quota | None = None
    # Of sources' rules.
    names: Patterns | None = None

    def fits(self, party: Party) -> bool:
        return party.fits(self.owners, self.members, self.roles)


@dataclass(frozen=True)
class Permits:
    """All rules of one file. `denied` errors are PeerErrors that name file and rule."""

    vms: tuple[Rule, ...] = ()
    sources: tuple[Rule, ...] = ()

    def check_vm(self, owner: Party) -> None:
        """PeerError when no VM that was born in this member's name runs here."""
        rule = self._rule_of(owner)
        if rule is not None and not rule.allow:
            raise _denied(rule.name, f"VMs of {owner} do not run here")

    def check_image(self, owner: Party, signer: Party | None) -> None:
        """PeerError when its VMs do not run here from an image that this one signed; None: nobody
        has, or not so that it holds."""
        rule = self._rule_of(owner)
        if rule is None or rule.signers is None:
            return
        if signer is None:
            raise _denied(rule.name, "an image that is not signed does not run here")
        if not signer.is_among(rule.signers):
            raise _denied(rule.name, f"an image signed by {signer} does not run here")

    def quota(self, owner: Party) -> Quota | None:
        """None: the rules say nothing of it."""
        rule = next((rule for rule in self.vms if rule.fits(owner)), None)
        return rule.quota if rule is not None else None

    def check_reading(self, owner: Party, source: str) -> None:
        """PeerError when its VMs that run here may not read that source, wherever it is."""
        rule = self._rule_of(owner)
        if rule is not None and not _any_fits(rule.sources, source):
            raise _denied(rule.name, f"VMs of {owner} do not read {source} here")

    def check_serving(self, reader: Party, source: str) -> None:
        """PeerError when it may not read a source that is published here."""
        what = f"{source} is not for {reader}"
        for rule in self.sources:
            if _any_fits(rule.names, source) and rule.fits(reader):
                if rule.allow:
                    return
                raise _denied(rule.name, what)
        if self.sources:
            raise _denied(f"{_SOURCES}, none of which fits", what)

    def _rule_of(self, owner: Party) -> Rule | None:
        """None: there are no rules about VMs."""
        found = next((rule for rule in self.vms if rule.fits(owner)), None)
        if found is None and self.vms:
            raise _denied(f"{_VMS}, none of which fits", f"VMs of {owner} do not run here")
        return found


NO_RULES = Permits()


def _denied(rule: str, why: str) -> PeerError:
    return PeerError(f"{FILE_NAME}, rule {rule}: {why}")


# --- reading ----------------------------------------------------------------------------------


def parse(text: str) -> Permits:
    """The rules in a file's text; UsageError, in one line that says where, for all else."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{FILE_NAME}: {error}") from error
    for kind in content:
        if kind not in (_VMS, _SOURCES):
            raise UsageError(f"{FILE_NAME}: no rules are called {kind!r}; want [vms.NAME]")
    return Permits(
        tuple(_vm_rule(name, table) for name, table in _tables(content, _VMS)),
        tuple(_source_rule(name, table) for name, table in _tables(content, _SOURCES)),
    )


def _tables(content: Mapping[str, Any], kind: str) -> list[tuple[str, _Table]]:
    """In the order of the file."""
    rules = content.get(kind, {})
    if not isinstance(rules, dict):
        raise UsageError(f"{FILE_NAME}: {kind} is no table; want [{kind}.NAME]")
    return [(f"{kind}.{name}", _Table(f"{kind}.{name}", table)) for name, table in rules.items()]


class _Table:
    """One rule's fields, each taken once."""

    def __init__(self, name: str, content: object) -> None:
        if not isinstance(content, dict):
            raise UsageError(f"{FILE_NAME}: {name} is no table; want [{name}]")
        self._name = name
        self._left = dict(content)

    def flag(self, field: str, default: bool) -> bool:
        value = self._left.pop(field, default)
        if not isinstance(value, bool):
            raise self._bad(field, "true or false")
        return value

    def patterns(self, field: str) -> Patterns | None:
        value = self._left.pop(field, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self._bad(field, "a list of texts")
        return tuple(value)

    def number(self, field: str) -> int | None:
        value = self._left.pop(field, None)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= _MB_MAX:
            raise self._bad(field, "a number, 0 or more")
        return value

    def roles(self, field: str) -> Role:
        words = self.patterns(field)
        try:
            return roles.parse(words) if words is not None else NO_ROLE
        except UsageError as error:
            raise UsageError(f"{FILE_NAME}, rule {self._name}, {field}: {error}") from error

    def end(self) -> None:
        for field in self._left:
            raise UsageError(f"{FILE_NAME}, rule {self._name}: there is no {field!r}")

    def _bad(self, field: str, wanted: str) -> UsageError:
        return UsageError(f"{FILE_NAME}, rule {self._name}: {field} is {wanted}")


def _vm_rule(name: str, table: _Table) -> Rule:
    rule = Rule(
        name,
        table.flag("allow", True),
        table.patterns("owners"),
        table.patterns("members"),
        table.roles("roles"),
        signers=table.patterns("signers"),
        sources=table.patterns("sources"),
        quota=_quota(name, table),
    )
    table.end()
    return rule


def _quota(name: str, table: _Table) -> Quota | None:
    vms, memory, storage = (table.number(f) for f in ("vms", "memory_mb", "storage_mb"))
    if vms is memory is storage is None:
        return None
    return Quota(
        f"{FILE_NAME}, rule {name}",
        vms,
        None if memory is None else memory << 20,
        None if storage is None else storage << 20,
    )


def _source_rule(name: str, table: _Table) -> Rule:
    rule = Rule(
        name,
        table.flag("allow", True),
        table.patterns("owners"),
        table.patterns("members"),
        table.roles("roles"),
        names=table.patterns("names"),
    )
    table.end()
    return rule
