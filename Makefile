# SPDX-License-Identifier: Apache-2.0
# The commands of this project. Each is one script in scripts/, which CI calls too.

.PHONY: help bench bench-deferral bench-interop bench-waits examples test check format sanitize fuzz crash stress budget doctor library install uninstall clean \
  scenario-cascade scenario-zombie-order scenario-database-flicker
.DEFAULT_GOAL := help

help: ## this text
	@echo 'make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'bench and test install what is missing (liburing-dev, libssl-dev) by apt-get, with sudo where needed.'

bench: ## the main job: decisions a second, latency, the machine's limits; verifies the trace it wrote
	@scripts/bench $(ARGS)

bench-deferral: ## deferrals durable alone and by 256 callers, beside PostgreSQL and SQLite; replay; opening; installs both databases
	@scripts/bench-deferral $(ARGS)

bench-interop: ## what the boundary costs: C, C++, Rust and Swift callers beside the same decision by hand in C
	@scripts/bench-interop $(ARGS)

bench-waits: ## how long until a decision is on disk: alone, with others, beside a flooded lane, held in an event loop
	@scripts/bench-waits $(ARGS)

examples: ## builds and runs each program in Examples/ whose toolchain is there
	@scripts/examples $(ARGS)

test: ## every test: Swift, C against both builds of the library, kills and reopens
	@scripts/test

check: ## format, lint, headers alone, the map of rooms, warnings as errors in both builds
	@scripts/check

format: ## put every Swift file into the form that check asks for
	@scripts/check --format

sanitize: ## the Swift tests under the thread and the address sanitizer
	@scripts/sanitize all

fuzz: ## every decoder under libFuzzer, and the planted bugs that it must find
	@scripts/fuzz all
	@scripts/fuzz canary

crash: ## kill a writing process at random instants, reopen, compare with what was acknowledged
	@scripts/crash

stress: ## every function by many threads, and policies that change while they are loaded: a minute each
	@scripts/stress $(ARGS)

scenario-cascade: ## a real order service in a retry storm, without LTP and with it: table, plot, proved trace
	@scripts/scenario-cascade $(ARGS)

scenario-zombie-order: ## an order server killed with clients on it, without LTP and with it: counts, plot, proved trace
	@scripts/scenario-zombie-order $(ARGS)

scenario-database-flicker: ## an order service whose database takes no writes for a while: 1,500 deferred, 1,500 processed, none twice
	@scripts/scenario-database-flicker $(ARGS)

budget: ## count instructions on the fast path under callgrind, compare with the committed budgets
	@scripts/budget

doctor: ## what this machine gives the core, and what to change
	@swift run -c release ltp doctor

library: ## the C library, static and shared, into build/library
	@scripts/install build

install: ## libraries, headers, ltp.pc, manual pages: PREFIX=/usr/local DESTDIR= LIBDIR=PREFIX/lib
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' scripts/install install

uninstall: ## takes away exactly what install put there
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' scripts/install uninstall

clean: ## remove everything that was built
	rm -rf .build .build-* build
