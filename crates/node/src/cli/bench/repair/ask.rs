//! What was asked for, checked before any work.

use std::time::Duration;

use super::Repair;
use super::differ::Shape;
use crate::cli::bench::data::{self, Data};
use crate::cli::bench::load::VALUE_BYTES_MAX;
use crate::cli::bench::place;
use crate::cli::error::CliError;
use crate::cli::output;

/// How many keys differ where nobody says.
const DIFFER: [u64; 6] = [0, 1, 100, 1_000, 10_000, 100_000];

const KEYS_MAX: u64 = 1_000_000_000;
const NODES: std::ops::RangeInclusive<usize> = 2..=5;
const REPEAT_MAX: u64 = 1_000;

/// The transport holds frames back for up to 5 s each way.
const RTT_MAX: Duration = Duration::from_secs(10);

const ISOLATE_MIN: Duration = Duration::from_secs(1);
pub(crate) const ISOLATE_MAX: Duration = Duration::from_secs(600);

/// How what differs is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Auto,
    Tree,
    Sketch,
}

impl Method {
    const ALL: [Self; 3] = [Self::Auto, Self::Tree, Self::Sketch];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tree => "tree",
            Self::Sketch => "sketch",
        }
    }
}

/// All cells: each method with each round-trip time, shape and divergence.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) data: Data,
    pub(crate) keys: u64,
    pub(crate) differ: Vec<u64>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) rtts: Vec<Duration>,
    pub(crate) methods: Vec<Method>,
    pub(crate) nodes: usize,
    pub(crate) repeat: u64,
    pub(crate) clients: usize,
    pub(crate) isolate: Option<Duration>,
}

impl Plan {
    /// What own nodes may take on disk: the keys, and what every cell writes.
    pub(crate) fn bytes_needed(&self) -> u64 {
        let cells = (self.shapes.len() * self.rtts.len() * self.methods.len()) as u64;
        let writes = self.differ.iter().sum::<u64>().saturating_mul(self.repeat).saturating_mul(cells);
        let keys = self.keys.saturating_add(writes);
        place::bytes_needed(self.nodes as u64, keys, self.data.key_bytes, self.data.value_bytes)
    }
}

/// Reads the arguments.
///
/// # Errors
/// One line that says which of them cannot be and what to write instead.
pub(crate) fn plan(arguments: &Repair) -> Result<Plan, CliError> {
    checked(arguments).map_err(CliError::Refused)
}

fn checked(arguments: &Repair) -> Result<Plan, String> {
    if arguments.keys == 0 {
        return Err("--keys is 0: there has to be something to repair, 1 at least".into());
    }
    if arguments.keys > KEYS_MAX {
        return Err(format!("--keys is {} and can be {KEYS_MAX} at most", arguments.keys));
    }
    if arguments.cluster.is_empty() && !NODES.contains(&arguments.nodes) {
        return Err(format!("--nodes is {} and wants 2 to 5: repair is between nodes", arguments.nodes));
    }
    let differ = if arguments.differ.is_empty() {
        DIFFER.into_iter().filter(|differ| *differ <= arguments.keys).collect()
    } else {
        each(&arguments.differ, "--differ", |word| divergence(word, arguments.keys))?
    };
    let named = |word: &str| Shape::ALL.into_iter().find(|shape| shape.word() == word);
    let shapes = each(&arguments.shape, "--shape", |word| {
        named(word).ok_or_else(|| format!("--shape is {word:?}: write random, cluster, missing or updated"))
    })?;
    let named = |word: &str| Method::ALL.into_iter().find(|method| method.word() == word);
    let methods = each(&arguments.method, "--method", |word| {
        named(word).ok_or_else(|| format!("--method is {word:?}: write auto, tree or sketch"))
    })?;
    let rtts = each(&arguments.rtt, "--rtt", round_trip)?;
    if arguments.repeat == 0 || arguments.repeat > REPEAT_MAX {
        return Err(format!("--repeat is {} and wants 1 to {REPEAT_MAX}", arguments.repeat));
    }
    let isolate = arguments.isolate.as_deref().map(isolation).transpose()?;
    places(arguments, &rtts, &methods)?;
    Ok(Plan {
        data: data(arguments, &differ)?,
        keys: arguments.keys,
        differ,
        shapes,
        rtts,
        methods,
        nodes: arguments.nodes,
        repeat: arguments.repeat,
        clients: usize::from(arguments.clients),
        isolate,
    })
}

/// Each word of a list that has at least one.
fn each<T>(words: &[String], flag: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let values: Vec<T> = words.iter().map(|word| read(word.trim())).collect::<Result<_, _>>()?;
    if values.is_empty() { Err(format!("{flag} is empty")) } else { Ok(values) }
}

fn divergence(word: &str, keys: u64) -> Result<u64, String> {
    let number: u64 =
        word.parse().map_err(|_| format!("--differ is {word:?}: write numbers of keys, like 0,100"))?;
    if number > keys {
        return Err(format!("--differ is {number}, more than the --keys that there are ({keys})"));
    }
    Ok(number)
}

fn round_trip(word: &str) -> Result<Duration, String> {
    let wrong = || format!("--rtt is {word:?}: write 0 or durations of up to {RTT_MAX:?}, like 50ms");
    let time =
        if word == "0" { Duration::ZERO } else { humantime::parse_duration(word).map_err(|_| wrong())? };
    if time > RTT_MAX { Err(wrong()) } else { Ok(time) }
}

fn isolation(word: &str) -> Result<Duration, String> {
    let wrong = || format!("--isolate is {word:?}: write a duration from 1s to 10m");
    let time = humantime::parse_duration(word.trim()).map_err(|_| wrong())?;
    if (ISOLATE_MIN..=ISOLATE_MAX).contains(&time) { Ok(time) } else { Err(wrong()) }
}

/// Where it is measured, and where the chart goes.
fn places(arguments: &Repair, rtts: &[Duration], methods: &[Method]) -> Result<(), String> {
    if arguments.cluster.is_empty() {
        if arguments.isolate.is_some() {
            return Err("--isolate goes with --cluster: own nodes are written to one by one".to_owned());
        }
    } else {
        if arguments.cluster.len() < 2 {
            return Err("--cluster names one node: repair is between nodes, name two or more".to_owned());
        }
        if rtts != [Duration::ZERO] || methods != [Method::Auto] {
            return Err(
                "--rtt and --method are settings of own nodes: leave them away with --cluster".to_owned()
            );
        }
    }
    let Some(path) = &arguments.plot else { return Ok(()) };
    output::writable(path).map_err(|why| format!("--plot is {}: {why}", path.display()))?;
    Ok(())
}

fn data(arguments: &Repair, differ: &[u64]) -> Result<Data, String> {
    let data = Data {
        prefix: if arguments.cluster.is_empty() { "" } else { data::PREFIX },
        key_bytes: arguments.key_size,
        value_bytes: usize::try_from(arguments.value_size).unwrap_or(usize::MAX),
        seed: arguments.seed,
    };
    let shortest = data.prefix.len() + data::KEY_BYTES_MIN;
    if !(shortest..=model::KEY_BYTES_MAX).contains(&arguments.key_size) {
        return Err(format!(
            "--key-size is {} and wants {shortest} to {}",
            arguments.key_size,
            model::KEY_BYTES_MAX
        ));
    }
    let most = arguments.keys.saturating_add(differ.iter().sum::<u64>().saturating_mul(arguments.repeat));
    // Neighbours in the tree are looked for among keys that are not used yet.
    if most.saturating_mul(8) > data.keys_max() {
        return Err(format!(
            "there are too few keys of --key-size {}: choose longer ones",
            arguments.key_size
        ));
    }
    if arguments.value_size > VALUE_BYTES_MAX {
        return Err(format!("--value-size is {} and can be {VALUE_BYTES_MAX} at most", arguments.value_size));
    }
    Ok(data)
}
