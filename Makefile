# Two commands matter: make demo, make test. Each sets up everything it needs.
PYTHON := .venv/bin/python
.NOTPARALLEL:
.PHONY: bench-mesh help setup demo mule usb test hundred partition test-versions test-kvm conformance parks explore faults rollbacks crashes rotations fuzz-guest fuzz-dtn fuzz-mesh hostile knock membership lease check coverage format lint types contracts lock clean distclean

help:
	@echo "make demo       three peers, a unikernel that is pulled to its data"
	@echo "make mule       a message from A to B, never up together, by a mule: simulated, then real"
	@echo "make usb        a VM goes from A to B on a USB stick, the two never connected"
	@echo "make test       all tests (ARGS='-k name' to choose; WORKERS=2)"
	@echo "make hundred    a hundred VMs on one node: time, memory, found again after SIGKILL"
	@echo "make test-versions VMs go between two versions of QEMU, there and back"
	@echo "make test-kvm   the KVM path for real, in emulated machines that have KVM"
	@echo "make conformance a hundred small programs in a guest and here: the table"
	@echo "make parks      a guest is parked and started warm, N=1000 SEED=1 ARCH=x86_64"
	@echo "make explore    every state of a VM's hand-off, and each of its rules removed: tables"
	@echo "make faults     a VM moves while nodes, links and disks fail, RUNS=500 SEED=1: the table"
	@echo "make crashes    a node killed 50 times under traffic, twice over (RUNS=N SEED=M)"
	@echo "make partition  two sides with VMs apart for 30 simulated minutes, and how they agree again"
	@echo "make rotations  the mesh key changes under traffic, and in both halves of a partition"
	@echo "make rollbacks  a VM with --commit output while hosts and QEMUs are killed, RUNS=50 SEED=1"
	@echo "make bench-mesh the mesh's figures in simulation (ARGS='--n 10 --only lookups')"
	@echo "make fuzz-guest SECONDS=600: a program that fires wild system calls at its kernel"
	@echo "make fuzz-dtn   SECONDS=600: bytes of all kinds against the parsers of bundles, TCPCL, beacons"
	@echo "make fuzz-mesh  COUNT=1000000 datagrams, random and mutated, sealed and not, against the receive path"
	@echo "make hostile    look-ups beside 20 % hostile members: the table (ARGS='--nodes 60 --seed 1')"
	@echo "make membership join, roles, revocation as a terminal shows them; one node starts in 1970"
	@echo "make knock      a knock, captured on loopback: nothing gets an answer longer than itself"
	@echo "make lease      a node gets another address while it runs: two real processes"
	@echo "make check      format, lint, types, import contracts, tests"
	@echo "make coverage   all tests, and which lines of radics_mesh they run"
	@echo "make format     rewrite the Python files in the project's format"
	@echo "make setup      only set up: packages, .venv, guest library"
	@echo "make lock       pin the newest packages that setup.cfg allows"
	@echo "make clean      remove what was built; make distclean: .venv too"

setup:
	@scripts/setup.sh

demo: setup
	@$(PYTHON) -m scenarios.first_light $(ARGS)

mule: setup
	@$(PYTHON) -m bench.data_mule $(ARGS)
	@$(PYTHON) -m scenarios.data_mule $(ARGS)

usb: setup
	@$(PYTHON) -m scenarios.usb_stick $(ARGS)

# Most tests wait most of the time. A file's tests stay together, for what they build once. Should a
# worker die, the other does the rest: a new one would never be done.
WORKERS ?= 2
PYTEST := pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0

test: setup
	@$(PYTHON) -m $(PYTEST) --durations=15 $(ARGS)

hundred: setup
	@$(PYTHON) -m scenarios.hundred $(ARGS)

test-versions: setup
	@scripts/second_qemu.sh .cache/second-qemu
	@$(PYTHON) -m pytest -s -q tests/hosting/between_versions.py $(ARGS)

test-kvm: setup
	@$(PYTHON) -m tests.kvm $(ARGS)

conformance: setup
	@$(PYTHON) -m tests.guest.conformance $(ARGS)

N ?= 1000
SEED ?= 1
ARCH ?= x86_64
parks: setup
	@$(PYTHON) -m tests.guest.parks $(N) --seed $(SEED) --arch $(ARCH)

explore: setup
	@$(PYTHON) -m tests.exploration $(ARGS)

fuzz-guest: setup
	@$(PYTHON) -m tests.guest.fuzz $(or $(SECONDS),60) $(ARGS)

fuzz-dtn: setup
	@$(PYTHON) -m tests.fuzzing $(or $(SECONDS),60) $(ARGS)

fuzz-mesh: setup
	@$(PYTHON) -m tests.hostile.fuzz $(or $(COUNT),1000000) $(ARGS)

lease: setup
	@$(PYTHON) -m scenarios.lease $(ARGS)

knock: setup
	@$(PYTHON) -m scenarios.knock $(ARGS)

membership: setup
	@$(PYTHON) -m scenarios.membership $(ARGS)

hostile: setup
	@$(PYTHON) -m tests.hostile $(ARGS)

bench-mesh: setup
	@$(PYTHON) -m bench.mesh $(ARGS)

RUNS ?= 500
SEED ?= 1
faults: setup
	@$(PYTHON) -m tests.faults $(RUNS) --seed $(SEED) $(ARGS)

rollbacks: setup
	@ROLLBACKS_RUNS=$(if $(filter file,$(origin RUNS)),50,$(RUNS)) ROLLBACKS_SEED=$(SEED) \
	$(PYTHON) -m pytest -q tests/hosting/test_checkpoints.py -k whatever $(ARGS)

crashes: setup
	@$(PYTHON) -m tests.crashes $(if $(filter file,$(origin RUNS)),50,$(RUNS)) --seed $(SEED) $(ARGS)
	@STORE_CRASHES=$(if $(filter file,$(origin RUNS)),50,$(RUNS)) \
	$(PYTHON) -m pytest -q -s tests/dtn/storage/test_store_crash.py

partition: setup
	@$(PYTHON) -m tests.directory.partition 12 0.0
	@$(PYTHON) -m tests.directory.partition 12 0.1

rotations: setup
	@$(PYTHON) -m pytest -s -q tests/e2e/rotations.py $(ARGS)

check: lint types contracts test

coverage: setup
	@$(PYTHON) -m coverage erase
	@$(PYTHON) -m coverage run -m $(PYTEST) -q $(ARGS)
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report --skip-covered | tail -60

format: setup
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

lint: setup
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types: setup
	$(PYTHON) -m mypy

contracts: setup
	.venv/bin/lint-imports

lock:
	@scripts/lock.sh

clean:
	@rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov
	@rm -f .coverage .coverage.*
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
	@if [ -e guest_lib/Makefile ]; then $(MAKE) -s -C guest_lib clean; fi

distclean: clean
	@rm -rf .venv
