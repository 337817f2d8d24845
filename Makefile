# The two commands of a fresh clone. CONTRIBUTING.md has the loops of daily work.

.PHONY: help setup demo test ci

help:
	@echo "make demo   set up, build zako, and build and run examples/hello-c with it"
	@echo "make test   set up and run all tests"
	@echo "make setup  install what is missing to build and test"
	@echo "make ci     formatting, lints, documentation and tests, as CI runs them"

setup:
	@scripts/setup test

demo:
	@scripts/demo

test:
	@scripts/setup test
	cargo test --workspace --locked --no-fail-fast

ci:
	@.ci/run
