"""The timed probe, on real QEMUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import UsageError
from radics_mesh.vmm import accelerator, architecture, probe
from tests.patience import PATIENCE_S
from tests.vmm import stubs

SHM = Path("/dev/shm")


@pytest.mark.parametrize("name", architecture.ALL)
async def test_a_guest_that_ends_is_timed(name: str) -> None:
    image = accelerator.PROBES[architecture.named(name)]
    took_s = await accelerator.time_guest(image, SHM, "tcg", deadline_s=20)
    assert took_s is not None
    assert 0 < took_s < 20


async def test_a_guest_that_does_not_end_meets_its_deadline() -> None:
    with trio.fail_after(PATIENCE_S):
        assert (
            await accelerator.time_guest(probe.kernel(stubs.IDLE), SHM, "tcg", deadline_s=0.3)
            is None
        )


async def test_an_accelerator_that_does_not_exist_is_not_taken() -> None:
    assert await accelerator.time_guest(probe.kernel(stubs.EXIT), SHM, "xyzzy") is None


async def test_nothing_is_left_of_a_probe(tmp_path: Path) -> None:
    await accelerator.time_guest(probe.kernel(stubs.EXIT), tmp_path, "tcg")
    assert not list(tmp_path.iterdir())


async def test_without_kvm_it_is_tcg_and_that_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_KVM_DEVICE", tmp_path / "kvm")
    cache = tmp_path / "accelerator.json"
    found = await accelerator.choose(cache, SHM)
    assert found.accelerator == "tcg"
    written = json.loads(cache.read_text())
    written["reason"] = "remembered"
    cache.write_text(json.dumps(written))
    assert (await accelerator.choose(cache, SHM)).reason == "remembered"


@pytest.mark.parametrize("content", ["", "{}", "[]", "\0", '{"key": 1, "accelerator": "kvm"}'])
async def test_a_damaged_or_foreign_cache_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(accelerator, "_KVM_DEVICE", tmp_path / "kvm")
    cache = tmp_path / "accelerator.json"
    cache.write_text(content)
    assert (await accelerator.choose(cache, SHM)).accelerator == "tcg"


async def test_configuration_overrides(tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    assert (await accelerator.choose(cache, SHM, configured="kvm")).accelerator == "kvm"
    assert not cache.exists()
    with pytest.raises(UsageError, match="xyzzy"):
        await accelerator.choose(cache, SHM, configured="xyzzy")
