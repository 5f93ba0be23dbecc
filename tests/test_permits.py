from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import PeerError, UsageError
from radics_mesh.membership import Grant, invite
from radics_mesh.permits import NO_RULES, Party, Permits, parse
from radics_mesh.roles import Role
from tests.meshes import NEXT_YEAR, World, identity

WORLD = World()


def party(seed: int, owner: str, roles: Role = Role.RUN) -> Party:
    key = identity(seed)
    grant = Grant(roles, owner)
    first, chain = WORLD.first_identity, WORLD.chain
    member = invite(first, chain, key.public, f"n{seed}", NEXT_YEAR, grant).member
    return Party(key.node_id, member)


ALICE, BOB = party(2, "alice"), party(3, "bob", Role.RUN | Role.OPERATE)
STRANGER = Party(identity(4).node_id, None)
RULES = """
[vms.ours]
owners = ["al*"]
signers = ["builder", "n3"]
sources = ["camera/*"]
vms = 2
memory_mb = 512

[vms.operators]
roles = ["operate"]

[vms.rest]
allow = false

[sources.cameras]
names = ["camera/*"]
owners = ["alice"]

[sources.secret]
names = ["safe"]
allow = false

[sources.named]
members = ["n3"]
"""


def test_the_first_rule_that_fits_decides_and_a_denial_names_it() -> None:
    rules = parse(RULES)
    rules.check_vm(ALICE)
    rules.check_vm(BOB)
    for other in (party(5, "carol"), STRANGER):
        with pytest.raises(PeerError, match=r"^policy\.toml, rule vms\.rest: VMs of .* do not run"):
            rules.check_vm(other)
    rules.check_image(ALICE, BOB)  # named n3
    rules.check_image(BOB, None)
    for signer in (None, ALICE, STRANGER):
        with pytest.raises(PeerError, match=r"rule vms\.ours: an image (that is not )?signed"):
            rules.check_image(ALICE, signer)
    rules.check_reading(ALICE, "camera/door")
    with pytest.raises(PeerError, match=r"vms\.ours: VMs of n2 \(alice\) do not read microphone"):
        rules.check_reading(ALICE, "microphone")


def test_who_may_read_what_is_published_here() -> None:
    rules = parse(RULES)
    rules.check_serving(ALICE, "camera/door")
    rules.check_serving(BOB, "camera/door")  # by the last rule
    rules.check_serving(BOB, "other")
    with pytest.raises(PeerError, match=r"rule sources\.secret: safe is not for n3"):
        rules.check_serving(BOB, "safe")
    with pytest.raises(PeerError, match="rule sources, none of which fits: other is not for n2"):
        rules.check_serving(ALICE, "other")


def test_what_fits_no_rule_is_denied_and_without_rules_all_is_allowed() -> None:
    only = parse('[vms.ours]\nowners = ["alice"]')
    with pytest.raises(PeerError, match="rule vms, none of which fits"):
        only.check_vm(BOB)
    only.check_serving(BOB, "anything")
    for rules in (NO_RULES, parse("")):
        rules.check_vm(STRANGER)
        rules.check_image(STRANGER, None)
        rules.check_reading(STRANGER, "x")
        rules.check_serving(STRANGER, "x")
        assert rules.quota(STRANGER) is None


def test_a_rule_has_a_quota_of_its_own() -> None:
    rules = parse(RULES)
    quota = rules.quota(ALICE)
    assert quota is not None
    assert (quota.vms, quota.memory_bytes, quota.storage_bytes) == (2, 512 << 20, None)
    assert quota.member == "policy.toml, rule vms.ours"
    assert rules.quota(BOB) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[vms.a", "at end of document"),
        ("a = 1\n!", "line 2"),
        ("[vm.a]", "no rules are called 'vm'"),
        ("vms = 3", "vms is no table"),
        ("[vms]\na = 1", r"vms\.a is no table"),
        ("[vms.a]\nowner = ['x']", r"rule vms\.a: there is no 'owner'"),
        ("[vms.a]\nnames = ['x']", "there is no 'names'"),
        ("[sources.a]\nsigners = ['x']", "there is no 'signers'"),
        ("[vms.a]\nowners = 'x'", "owners is a list of texts"),
        ("[vms.a]\nowners = ['']", "owners is a list of texts"),
        ("[vms.a]\nroles = ['king']", "roles: no role 'king'; there are"),
        ("[vms.a]\nallow = 1", "allow is true or false"),
        ("[vms.a]\nvms = -1", "vms is a number"),
        ("[vms.a]\nvms = true", "vms is a number"),
        ("[vms.a]\nmemory_mb = 1.5", "memory_mb is a number"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse(text)
    assert str(caught.value).startswith("policy.toml")
    assert "\n" not in str(caught.value)


@given(st.text(alphabet=st.sampled_from("[]vms.ources=\"'\n 01{},a"), max_size=60))
def test_any_text_is_rules_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse(text), Permits)
