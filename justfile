# Shortcuts; `just` alone lists them. Nothing here is needed: each line is an ordinary command.

_default:
    @just --list

# The whole gate, as CI runs it
gate:
    .ci/run

# One step of the gate, or several (.ci/run --list names them)
step +STEPS:
    .ci/run {{ STEPS }}

# Three nodes on this machine
dev *ARGS:
    cargo run --release -- dev {{ ARGS }}

# The README's test command
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Format, then what clippy says
tidy:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Three nodes as containers
up:
    docker compose -f deploy/compose.yaml up --build

# The tests that need Docker
containers:
    cargo test -p mangrove --test containers -- --ignored --test-threads=1 --nocapture

# All benches, or those whose name holds FILTER
bench FILTER="":
    cargo bench -p mangrove-benches -- {{ FILTER }}

# The API documentation, opened in a browser
doc:
    cargo doc --workspace --no-deps --open
